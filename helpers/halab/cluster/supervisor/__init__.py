"""Embedded clusters: created, started, watched over and stopped.

``manage`` is what callers use; ``__main__`` and ``daemon`` are the cluster's own process; the rest are their small parts.
"""
