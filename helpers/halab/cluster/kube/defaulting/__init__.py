"""The defaults of Kubernetes, one module an API group; ``halab.cluster.kube.defaults`` is the way in.

Each function takes the object (or the part of one) in normalised form and fills in place what Kubernetes' ``SetDefaults_*``
functions and conversions fill when a request is decoded. What admission adds (service account, tolerations, priority) is not here.
"""
