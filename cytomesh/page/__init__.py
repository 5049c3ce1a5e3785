"""What every page is built with: HTML, one style, charts and colours. It knows nothing of brains."""
