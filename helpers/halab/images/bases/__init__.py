"""Base images that need no registry: each borrows the programs of this machine and says so.

One file a family of images. ``catalogue.py`` finds the base for a reference; ``base.py`` says what a base is.
"""
