"""The Docker engine as a cluster's runtime: what the node agents, the data plane and the supervisor share of it.

Below all of them: the connection (``client``), whose things are whose (``owned``), the pod's own image (``image``), a cluster's network with
its gateway (``network``), and raw streams (``hijack``). The ``docker`` package is imported only inside functions: it takes a third of
a second, and most clusters have no engine. Images and containers of lab 01 are ``halab.images.docker_engine``'s affair.
"""
