"""Registration: areas carried between hemispheres, spheres, resampling."""
