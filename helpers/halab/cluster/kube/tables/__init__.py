"""Printer columns and cells of each kind, one module a family; ``halab.cluster.kube.table`` is the way in."""
