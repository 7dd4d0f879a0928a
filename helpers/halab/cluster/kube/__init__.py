"""Pure functions on Kubernetes objects: kinds, schema, defaults, validation, patches, apply, selectors, quantities."""
