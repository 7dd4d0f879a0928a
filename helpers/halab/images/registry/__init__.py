"""A registry and its client: the OCI distribution protocol (https://github.com/opencontainers/distribution-spec/blob/main/spec.md)."""
