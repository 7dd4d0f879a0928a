"""Building images from Dockerfiles, with Docker's layer cache, and without Docker."""
