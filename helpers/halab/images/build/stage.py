"""One stage of a build: the image so far, and what each instruction does to it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halab.errors import ImageError
from halab.images import oci
from halab.images.bases.base import PATH_VARIABLE
from halab.images.dockerfile.parser import Instruction, fail
from halab.images.dockerfile.words import expand, split
from halab.images.image import Image
from halab.images.rootfs import RootView
from halab.images.store import Layer

DEFAULT_SHELL = ("/bin/sh", "-c")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_SIGNAL = re.compile(r"(?:SIG)?[A-Z][A-Z0-9+-]*|\d{1,2}")


@dataclass(slots=True)
class Stage:
    """``layers`` bottom first, ``directories`` the extracted ones top first. ``key`` is the cache key of the last step."""

    file: str
    escape: str
    name: str = ""
    layers: list[Layer] = field(default_factory=list)
    directories: list[Path] = field(default_factory=list)
    host: bool = False
    host_paths: tuple[Path, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    arguments: dict[str, str] = field(default_factory=dict)
    shell: tuple[str, ...] = DEFAULT_SHELL
    author: str = ""
    created: str = oci.EPOCH
    key: str = ""
    command_set: bool = False

    @classmethod
    def scratch(cls, file: str, escape: str) -> Stage:
        return cls(file, escape, config={"Env": [PATH_VARIABLE]}, key="scratch")

    @classmethod
    def on_image(cls, file: str, escape: str, image: Image) -> Stage:
        pairs = zip(image.manifest["layers"], image.document["rootfs"]["diff_ids"], strict=True)
        return cls(
            file,
            escape,
            layers=[Layer(descriptor, diff_id) for descriptor, diff_id in pairs],
            directories=list(image.layers),
            host=image.on_host,
            host_paths=image.host_paths,
            config=json.loads(json.dumps(image.config)),
            history=[dict(item) for item in image.document.get("history") or []],
            shell=tuple(image.config.get("Shell") or DEFAULT_SHELL),
            author=image.document.get("author", ""),
            created=image.document.get("created", oci.EPOCH),
            key=image.config_digest,
        )

    def copy(self) -> Stage:
        """For a stage that begins FROM this one."""
        return Stage(
            self.file,
            self.escape,
            layers=list(self.layers),
            directories=list(self.directories),
            host=self.host,
            host_paths=self.host_paths,
            config=json.loads(json.dumps(self.config)),
            history=[dict(item) for item in self.history],
            shell=self.shell,
            author=self.author,
            created=self.created,
            key=self.key,
        )

    def borrowed_layers(self) -> list[str]:
        """Digests of the layers that only repeat this machine's files."""
        return [layer.descriptor["digest"] for layer in self.layers if oci.BORROWED in layer.descriptor.get("annotations", {})]

    def view(self) -> RootView:
        return RootView(self.directories, host=self.host, host_paths=self.host_paths)

    # -- variables ------------------------------------------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        return dict(item.partition("=")[::2] for item in self.config.get("Env") or [])

    @property
    def variables(self) -> dict[str, str]:
        """What ``$NAME`` means in an instruction: ENV wins over ARG."""
        return self.arguments | self.environment

    def expand(self, text: str) -> str:
        return expand(text, self.variables, self.escape)

    def words(self, text: str) -> list[str]:
        return split(text, self.variables, self.escape)

    def pairs(self, instruction: Instruction) -> dict[str, str]:
        """``NAME=value ...`` or the old ``NAME value`` of ENV and LABEL."""
        raw = split(instruction.rest, None, self.escape)
        if "=" not in raw[0]:
            name, _, value = instruction.rest.partition(" ")
            if not value.strip():
                fail(self.file, instruction, f"{name!r} has no value", f"write {instruction.name} {name}=VALUE")
            return {self.expand(name): self.expand(value.strip())}
        found = {}
        for word in raw:
            name, equals, value = word.partition("=")
            if not equals or not name:
                fail(self.file, instruction, f"Syntax error - can't find = in {word!r}. Must be of the form: name=value")
            found[self.expand(name)] = self.expand(value)
        return found

    # -- instructions that only change the configuration --------------------------------------------------------------------------------

    def configure(self, instruction: Instruction) -> str:
        """Apply one of them; returns the text for the history. COPY, ADD, RUN, WORKDIR and FROM are not among them."""
        handler = _HANDLERS[instruction.name]
        return handler(self, instruction)

    def _env(self, instruction: Instruction) -> str:
        new = self.pairs(instruction)
        self.config["Env"] = [f"{name}={value}" for name, value in (self.environment | new).items()]
        return "ENV " + " ".join(f"{name}={value}" for name, value in new.items())

    def _label(self, instruction: Instruction) -> str:
        new = self.pairs(instruction)
        self.config["Labels"] = (self.config.get("Labels") or {}) | new
        return "LABEL " + " ".join(f"{name}={value}" for name, value in new.items())

    def _command(self, instruction: Instruction) -> str:
        words = list(instruction.words) if instruction.words is not None else [*self.shell, instruction.rest]
        key = "Cmd" if instruction.name == "CMD" else "Entrypoint"
        self.config[key] = words
        if key == "Cmd":
            self.command_set = True
        elif not self.command_set:
            self.config.pop("Cmd", None)  # a base image's CMD were arguments for another program
        return f"{instruction.name} {json.dumps(words)}"

    def _expose(self, instruction: Instruction) -> str:
        ports = dict(self.config.get("ExposedPorts") or {})
        for word in self.words(instruction.rest):
            match = re.fullmatch(r"(\d+)(?:-(\d+))?(?:/(tcp|udp|sctp))?", word.lower())
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
            if match is None or not 0 < first <= last <= 65535:
                fail(self.file, instruction, f"Invalid containerPort: {word}", "write PORT or PORT/udp, 1-65535")
            for port in range(first, last + 1):
                ports[f"{port}/{match[3] or 'tcp'}"] = {}
        self.config["ExposedPorts"] = ports
        return f"EXPOSE {' '.join(ports)}"

    def _user(self, instruction: Instruction) -> str:
        self.config["User"] = self.expand(instruction.rest)
        return f"USER {self.config['User']}"

    def _volume(self, instruction: Instruction) -> str:
        words = (
            [self.expand(word) for word in instruction.words] if instruction.words is not None else self.words(instruction.rest)
        )
        self.config["Volumes"] = (self.config.get("Volumes") or {}) | {word: {} for word in words}
        return f"VOLUME {' '.join(words)}"

    def _signal(self, instruction: Instruction) -> str:
        name = self.expand(instruction.rest)
        if not _SIGNAL.fullmatch(name):
            fail(self.file, instruction, f"{name} is not a valid signal", "e.g. SIGQUIT")
        self.config["StopSignal"] = name
        return f"STOPSIGNAL {name}"

    def _shell(self, instruction: Instruction) -> str:
        self.shell = instruction.words or DEFAULT_SHELL
        self.config["Shell"] = list(self.shell)
        return f"SHELL {json.dumps(list(self.shell))}"

    def _healthcheck(self, instruction: Instruction) -> str:
        if instruction.rest.strip().upper() == "NONE":
            self.config["Healthcheck"] = {"Test": ["NONE"]}
            return "HEALTHCHECK NONE"
        match = re.match(r"CMD\s+(.+)\Z", instruction.rest, re.IGNORECASE | re.DOTALL)
        if match is None:
            fail(self.file, instruction, f"Unknown type {instruction.rest.split()[0]!r} in HEALTHCHECK (try CMD)")
        words = None
        if match[1].startswith("["):
            try:
                words = [str(word) for word in json.loads(match[1])]
            except ValueError:
                words = None
        check: dict[str, Any] = {"Test": ["CMD", *words] if words is not None else ["CMD-SHELL", match[1]]}
        names = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod", "start-interval": "StartInterval"}
        for flag, value in instruction.flags:
            if flag == "retries":
                if not value.isdigit():
                    fail(self.file, instruction, f"--retries={value} is not a number")
                check["Retries"] = int(value)
            else:
                check[names[flag]] = self._duration(instruction, flag, value)
        self.config["Healthcheck"] = check
        return f"HEALTHCHECK {instruction.rest}"

    def _duration(self, instruction: Instruction, flag: str, text: str) -> int:
        """Nanoseconds of a Go duration such as 1m30s."""
        parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            fail(self.file, instruction, f"--{flag}={text} is not a duration", "e.g. 30s or 1m30s")
        return int(sum(float(number) * _UNITS[unit] for number, unit in parts))

    def _onbuild(self, instruction: Instruction) -> str:
        self.config["OnBuild"] = [*(self.config.get("OnBuild") or []), instruction.rest]
        return f"ONBUILD {instruction.rest}"

    def _maintainer(self, instruction: Instruction) -> str:
        self.author = instruction.rest
        return f"MAINTAINER {instruction.rest}"

    # -- results ------------------------------------------------------------------------------------------------------------------------

    def add(
        self, layer: Layer | None, directory: Path | None, created: str, created_by: str, borrowed: tuple[str, ...] = ()
    ) -> None:
        """Append a step to layers and history."""
        item: dict[str, Any] = {"created": created, "created_by": created_by}
        if borrowed:
            item["comment"] = "borrowed: " + ", ".join(borrowed[:20]) + (" ..." if len(borrowed) > 20 else "")
            self._borrow(borrowed)
        if layer is None:
            item["empty_layer"] = True
        else:
            self.layers.append(layer)
            if directory is not None:
                self.directories.insert(0, directory)
                self._unhide(directory)
        self.history.append(item)
        self.created = created

    def _borrow(self, borrowed: tuple[str, ...]) -> None:
        labels = self.config.setdefault("Labels", {}) or {}
        known = [part for part in labels.get(oci.LABEL_BORROWS, "").split(", ") if part]
        labels[oci.LABEL_BORROWS] = ", ".join(dict.fromkeys([*known, *borrowed]))
        self.config["Labels"] = labels

    def _unhide(self, directory: Path) -> None:
        """What a layer brings is no longer hidden."""
        labels = self.config.get("Labels") or {}
        hidden = [path for path in labels.get(oci.LABEL_HIDES, "").split(",") if path]
        still = [path for path in hidden if not (directory / path.strip("/")).exists()]
        if len(still) != len(hidden):
            labels[oci.LABEL_HIDES] = ",".join(still)

    def document(self, labels: Mapping[str, str]) -> dict[str, Any]:
        """The OCI image configuration, without rootfs."""
        config = dict(self.config)
        if labels:
            config["Labels"] = (config.get("Labels") or {}) | dict(labels)
        found: dict[str, Any] = {
            "created": self.created,
            "architecture": oci.architecture(),
            "os": "linux",
            "config": config,
            "history": self.history,
        }
        if self.author:
            found["author"] = self.author
        return found

    def numeric_user(self, instruction: Instruction) -> tuple[int, int]:
        """uid and gid of the current USER. Raises ImageError when the image has no such user."""
        text = str(self.config.get("User") or "")
        if not text:
            return 0, 0
        ids = self.view().owner(text)
        if ids is None:
            raise ImageError(
                f"{self.file}:{instruction.line}",
                f"unable to find user {text}: no matching entries in passwd file",
                "create it with RUN useradd first",
            )
        return ids


_HANDLERS = {
    "ENV": Stage._env,
    "LABEL": Stage._label,
    "CMD": Stage._command,
    "ENTRYPOINT": Stage._command,
    "EXPOSE": Stage._expose,
    "USER": Stage._user,
    "VOLUME": Stage._volume,
    "STOPSIGNAL": Stage._signal,
    "SHELL": Stage._shell,
    "HEALTHCHECK": Stage._healthcheck,
    "ONBUILD": Stage._onbuild,
    "MAINTAINER": Stage._maintainer,
}
