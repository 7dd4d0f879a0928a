"""A connection to the machine's own engine, or the reason why there is none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from halab.errors import MachineError

Engine = Any  # docker.APIClient, whose published types are incomplete
SECONDS = 120
SOCKET = "/var/run/docker.sock"
INSTEAD = "or let pods be processes: halab up --runtime process"


def socket_path() -> str:
    """The Unix socket of the active Docker context (``$DOCKER_HOST``, else what ``docker context use`` chose, else the usual one).

    Raises MachineError for an engine that is reached in another way: a pod's address could not be reached from here.
    """
    host = os.environ.get("DOCKER_HOST", "")
    if not host:
        from docker.context import ContextAPI

        context = ContextAPI.get_current_context()
        host = (context.Host if context is not None else "") or f"unix://{SOCKET}"
    if not host.startswith("unix://"):
        raise MachineError(
            "Docker engine",
            f"{host} is not on this machine, so its containers' addresses are not",
            f"unset DOCKER_HOST, {INSTEAD}",
        )
    return host.removeprefix("unix://")


def connect(path: str = "", timeout: int = SECONDS) -> Engine:
    """The engine at the Unix socket ``path``, or the active one. The client may be used by several threads.

    Raises MachineError that says what is missing and what to do about it.
    """
    import docker
    from docker.errors import DockerException

    path = path or socket_path()
    if obstacle := obstacle_at(path):
        raise MachineError("Docker engine", *obstacle)
    try:
        client = docker.APIClient(base_url=f"unix://{path}", version="auto", timeout=timeout)
        client.ping()
    except DockerException as error:
        raise MachineError("Docker engine", f"does not answer at {path}: {reason(error)}", f"start it, {INSTEAD}") from error
    return client


def obstacle_at(path: str) -> tuple[str, str] | None:
    """Why no engine can be asked at this socket, and the remedy; None where nothing speaks against it."""
    if not Path(path).exists():
        return f"there is none: {path} does not exist", f"install or start it (sudo apt-get install docker.io), {INSTEAD}"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"its socket {path} may not be opened by this user", f"sudo usermod -aG docker $USER, then log in again; {INSTEAD}"
    return None


def rootless(client: Engine) -> bool:
    """Whether it has its networks where this machine does not reach them: run by an ordinary user, or in Docker Desktop's machine."""
    info = client.info()
    return any("rootless" in option for option in info.get("SecurityOptions") or ()) or "Docker Desktop" in str(
        info.get("OperatingSystem")
    )


def reason(error: Exception) -> str:
    """The engine's own words."""
    return str(getattr(error, "explanation", None) or error).strip()
