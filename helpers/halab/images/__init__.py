"""Images: built, stored, listed, run, saved and moved without Docker, in the formats of the Open Container Initiative.

``ImageStore.resolve(reference)`` is what a node agent needs; ``halab.images.api`` is what notebooks and the command line use.
"""

from halab.images.image import Image
from halab.images.reference import Reference
from halab.images.store import ImageStore, default_store

__all__ = ["Image", "ImageStore", "Reference", "default_store"]
