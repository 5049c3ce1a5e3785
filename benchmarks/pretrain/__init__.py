"""Pretraining: what loss, gathering and distances cost, and what the features are worth on the phantom."""
