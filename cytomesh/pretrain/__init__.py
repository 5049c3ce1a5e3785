"""Contrastive pretraining of encoders from where patches lie, and the features they give."""
