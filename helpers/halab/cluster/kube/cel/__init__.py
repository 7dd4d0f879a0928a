"""The Common Expression Language as Kubernetes uses it: rules of custom resources, admission policies, match conditions.

``engine`` compiles and evaluates with Google's own engine, loaded when the first rule is met; ``library`` adds Kubernetes' functions;
``rules`` walks a structural schema and evaluates its ``x-kubernetes-validations``. https://kubernetes.io/docs/reference/using-api/cel/
"""
