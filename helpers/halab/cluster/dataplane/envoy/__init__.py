"""Envoy's configuration (xDS v3) as JSON: bootstrap, clusters, listeners, route tables. Pure functions of ``dataplane.model``.

Field names are those of https://www.envoyproxy.io/docs/envoy/latest/api-v3/api.
"""
