"""What hangs below an object: one module a subresource (or a family of them). ``status``, ``ephemeralcontainers``, ``resize`` and
``finalize`` speak the object's own kind and go the ordinary way (``writes``)."""
