"""Reading this machine's dpkg database: which packages are installed, in which version, with which files and dependencies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_DATABASE = Path("/var/lib/dpkg")
_UNWANTED = (
    "/usr/share/doc/",
    "/usr/share/man/",
    "/usr/share/locale/",
    "/usr/share/info/",
    "/usr/share/lintian/",
    "/usr/share/bash-completion/",
)


@dataclass(frozen=True, slots=True)
class Installed:
    """``essential`` packages are part of every base image, so nothing has to be brought for them."""

    name: str
    version: str
    architecture: str
    depends: tuple[str, ...]
    provides: tuple[str, ...]
    essential: bool
    size_kb: int


@lru_cache(maxsize=1)
def installed() -> dict[str, Installed]:
    """By name; empty on a machine without dpkg. Read once a process (some milliseconds)."""
    try:
        text = (_DATABASE / "status").read_text(errors="replace")
    except OSError:
        return {}
    return parse_status(text)


def parse_status(text: str) -> dict[str, Installed]:
    """The packages that a dpkg status file says are installed."""
    found: dict[str, Installed] = {}
    for paragraph in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        if not fields.get("Status", "").endswith(" installed"):
            continue
        depends = ", ".join(filter(None, (fields.get("Pre-Depends"), fields.get("Depends"))))
        found[fields["Package"]] = Installed(
            name=fields["Package"],
            version=fields.get("Version", ""),
            architecture=fields.get("Architecture", ""),
            # Of alternatives (a | b) the first installed one will be taken, so all are kept, joined by a bar.
            depends=tuple("|".join(_names(part)) for part in depends.split(",") if part.strip()),
            provides=tuple(name for part in fields.get("Provides", "").split(",") for name in _names(part)),
            essential=fields.get("Essential") == "yes" or fields.get("Priority") in ("required", "important"),
            size_kb=int(fields.get("Installed-Size", "0") or 0),
        )
    return found


def _names(part: str) -> list[str]:
    return [re.split(r"[ (:\[]", option.strip())[0] for option in part.split("|") if option.strip()]


def closure(name: str, packages: dict[str, Installed]) -> list[Installed]:
    """The package and what it needs beyond the essential packages and the C library, dependencies first."""
    providers = {virtual: package.name for package in packages.values() for virtual in package.provides}
    order: list[Installed] = []
    seen: set[str] = set()

    def visit(current: str) -> None:
        package = packages.get(current) or packages.get(providers.get(current, ""))
        if package is None or package.name in seen:
            return
        seen.add(package.name)
        if package.name != name and (
            package.essential or package.name in ("libc6", "libgcc-s1", "libcrypt1", "debconf", "gcc-12-base")
        ):
            return
        for options in package.depends:
            chosen = next((option for option in options.split("|") if option in packages or option in providers), "")
            visit(chosen)
        order.append(package)

    visit(name)
    return order


def files(package: Installed) -> list[Path]:
    """The package's files and links that exist and can be read, without documentation."""
    found: list[Path] = []
    for name in (f"{package.name}:{package.architecture}", package.name):
        listing = _DATABASE / "info" / f"{name}.list"
        if listing.exists():
            for line in listing.read_text(errors="replace").splitlines():
                path = Path(line)
                if line.startswith(_UNWANTED) or not (path.is_symlink() or path.is_file()):
                    continue
                found.append(path)
            break
    return found
