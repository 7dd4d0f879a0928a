"""How containers are started: ``base`` says what the agent needs of a runtime, ``process`` does it with sandboxed processes."""

from .base import Container, ContainerSpec, Exit, PodSandbox, Runtime, StartFailed

__all__ = ["Container", "ContainerSpec", "Exit", "PodSandbox", "Runtime", "StartFailed"]
