"""Images of sections: pyramids, oriented patches and augmentation."""
