"""Images of sections: one file a format, each behind the same interface."""
