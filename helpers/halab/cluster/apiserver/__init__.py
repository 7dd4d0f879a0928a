"""The API server: Kubernetes' HTTP API over the store.

A request goes through ``app`` (authenticate, route, authorize, answer), then one handler: ``reads`` (get, list), ``watches``,
``writes`` (create, update, patch), ``deletes``, a subresource, a review, or discovery. Handlers run synchronously between reading the
body and writing the answer, so that what they read cannot change before they write.
"""
