"""Pods as real containers of a Docker (or Podman) engine on this machine.

A pod is a *sandbox* container, which holds its network and IPC namespaces at a fixed address of the cluster's network (``halab.engine.network``),
and the pod's containers, which share them. Their output comes by the engine's attach stream into the same log files that the process
runtime writes, their ends by the engine's events; so restarts, probes, logs, hooks and statuses are the agent's own code for both runtimes.

``options`` says what a container is to be in the engine's words (pure), ``container`` follows one, ``program`` is what is executed inside,
``events`` listens to the engine, ``usage`` reads cgroups, ``images`` finds images. ``docker`` is imported when a runtime is made, not before.
"""

from .images import DockerImages
from .runtime import DockerRuntime

__all__ = ["DockerImages", "DockerRuntime"]
