"""Image references as people type them: ``nginx``, ``my-nginx:1.0``, ``127.0.0.1:5000/team/app@sha256:...``.

The rules are those of the distribution project: without a registry (a first part with a dot, a colon, or ``localhost``) the registry is
docker.io, where a single name stands under ``library/``; without tag and digest the tag is ``latest``. Pure: no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from halab.errors import ImageError

DEFAULT_REGISTRY = "docker.io"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_REGISTRY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?\Z")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference. ``tag`` and ``digest`` may each be empty, never both after ``parse``."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises ImageError ("invalid reference format", Docker's words) for what no registry could hold."""
        rest, _, digest = text.partition("@")
        head, slash, tail = rest.rpartition("/")
        name, _, tag = tail.partition(":")
        path = f"{head}{slash}{name}"
        first, slash, after = path.partition("/")
        if slash and (re.search(r"[.:\[]", first) or first == "localhost"):
            registry, repository = first, after
        else:
            registry, repository = DEFAULT_REGISTRY, path
        if registry in ("index.docker.io", "registry-1.docker.io"):
            registry = DEFAULT_REGISTRY
        if registry == DEFAULT_REGISTRY and "/" not in repository:
            repository = f"library/{repository}"
        bad = (
            not _REPOSITORY.match(repository)
            or not _REGISTRY.match(registry)
            or ("@" in text and not _DIGEST.match(digest))
            or (":" in tail and not _TAG.match(tag))
        )
        if bad:
            hint = (
                "a repository name must be lowercase"
                if repository != repository.lower()
                else "write NAME[:TAG], e.g. my-nginx:1.0"
            )
            raise ImageError(f"image {text!r}", "invalid reference format", hint)
        return cls(registry, repository, tag or ("" if digest else "latest"), digest)

    @property
    def familiar_name(self) -> str:
        """The repository as Docker shows it: ``nginx``, ``team/app``, ``127.0.0.1:5000/app``."""
        if self.registry == DEFAULT_REGISTRY:
            return self.repository.removeprefix("library/")
        return f"{self.registry}/{self.repository}"

    @property
    def full_name(self) -> str:
        """The repository as containerd (and so kubelet) writes it: ``docker.io/library/nginx``."""
        return f"{self.registry}/{self.repository}"

    @property
    def suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def familiar(self) -> str:
        """``nginx:1.22``: the key under which a store keeps the image."""
        return self.familiar_name + self.suffix

    def __str__(self) -> str:
        return self.full_name + self.suffix

    def with_tag(self, tag: str) -> Reference:
        return replace(self, tag=tag, digest="")
