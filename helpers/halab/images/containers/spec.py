"""What is asked of a container: ports, variables, a restart policy; parsed from the words of the command line. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from halab.errors import UsageError

Policy = Literal["no", "on-failure", "always", "unless-stopped"]


@dataclass(frozen=True, slots=True)
class Restart:
    """``retries`` counts for on-failure only; 0 is no limit."""

    policy: Policy = "no"
    retries: int = 0

    @classmethod
    def parse(cls, text: str) -> Restart:
        name, colon, number = text.partition(":")
        if name not in ("no", "on-failure", "always", "unless-stopped"):
            raise UsageError(f"restart policy {text!r}", "is unknown", "it is no, on-failure[:MAX], always or unless-stopped")
        if colon and (name != "on-failure" or not number.isdigit()):
            raise UsageError(f"restart policy {text!r}", "a maximum goes with on-failure only", "e.g. on-failure:3")
        return cls(name, int(number or 0))  # type: ignore[arg-type]

    def again(self, exit_code: int, restarts: int, *, stopped: bool) -> bool:
        """Whether a container that ended with ``exit_code`` is started once more; ``stopped`` when a person stopped it."""
        if stopped or self.policy == "no":
            return False
        if self.policy == "on-failure":
            return exit_code != 0 and (not self.retries or restarts < self.retries)
        return True

    def __str__(self) -> str:
        return f"{self.policy}:{self.retries}" if self.retries else self.policy


@dataclass(frozen=True, slots=True)
class Port:
    """``host_ip:host`` on this machine leads to ``container`` (TCP). ``host`` 0 asks for any free port."""

    host_ip: str
    host: int
    container: int

    @classmethod
    def parse(cls, text: str) -> Port:
        match = re.fullmatch(r"(?:(?:(127(?:\.\d{1,3}){3}|localhost|0\.0\.0\.0):)?(\d*):)?(\d+)(?:/tcp)?", text)
        host, container = (int(match[2] or 0), int(match[3])) if match else (0, 0)
        if match is None or not 0 < container < 65536 or host > 65535:
            raise UsageError(
                f"port {text!r}",
                "is not [IP:]HOST:CONTAINER",
                "e.g. 8080:80; the address is one of this machine's own (127.x.y.z)",
            )
        address = match[1] or "127.0.0.1"
        return cls("127.0.0.1" if address in ("localhost", "0.0.0.0") else address, host, container)

    def __str__(self) -> str:
        return f"{self.host_ip}:{self.host}->{self.container}/tcp"


@dataclass(frozen=True, slots=True)
class Volume:
    """A directory or file of this machine shown in the container."""

    source: str
    target: str
    read_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Volume:
        parts = text.split(":")
        if (
            len(parts) not in (2, 3)
            or not parts[0].startswith("/")
            or not parts[1].startswith("/")
            or parts[2:] not in ([], ["ro"], ["rw"])
        ):
            raise UsageError(f"volume {text!r}", "is not /HOST/PATH:/CONTAINER/PATH[:ro]")
        return cls(parts[0], parts[1], parts[2:] == ["ro"])


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """All that a container is started from; what is empty comes from the image. Times are seconds."""

    image: str
    name: str = ""
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart: Restart = Restart()
    user: str = ""
    directory: str = ""
    hostname: str = ""
    remove: bool = False
    memory: int = 0  # bytes; 0 is no limit

    def to_json(self) -> dict[str, Any]:
        return {
            "image": self.image,
            "name": self.name,
            "command": list(self.command),
            "entrypoint": None if self.entrypoint is None else list(self.entrypoint),
            "environment": self.environment,
            "ports": [[port.host_ip, port.host, port.container] for port in self.ports],
            "volumes": [[volume.source, volume.target, volume.read_only] for volume in self.volumes],
            "restart": str(self.restart),
            "user": self.user,
            "directory": self.directory,
            "hostname": self.hostname,
            "remove": self.remove,
            "memory": self.memory,
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> ContainerSpec:
        return cls(
            image=raw["image"],
            name=raw["name"],
            command=tuple(raw["command"]),
            entrypoint=None if raw["entrypoint"] is None else tuple(raw["entrypoint"]),
            environment=dict(raw["environment"]),
            ports=tuple(Port(*item) for item in raw["ports"]),
            volumes=tuple(Volume(*item) for item in raw["volumes"]),
            restart=Restart.parse(raw["restart"]),
            user=raw["user"],
            directory=raw["directory"],
            hostname=raw["hostname"],
            remove=raw["remove"],
            memory=raw["memory"],
        )
