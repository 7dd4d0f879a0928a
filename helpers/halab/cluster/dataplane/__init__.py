"""The data plane: Services, Ingresses and HTTPRoutes become Envoy's configuration; Services and pods get DNS names.

``services``, ``ingress``, ``gateway``, ``tables`` and ``envoy/`` are pure: objects in, configuration out. ``controller`` follows the API
and writes the files, ``proxy`` runs Envoy, ``dns`` answers names.
"""
