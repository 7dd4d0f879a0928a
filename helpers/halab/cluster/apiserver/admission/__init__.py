"""Admission: what the server adds to an object before it is validated, and what it refuses after.

Each plug-in is a module named as its Kubernetes counterpart's purpose; ``chain`` calls them in Kubernetes' order. They work inside the
transaction that writes the object, so what they read (quotas, limits, accounts) cannot change before the write.
"""
