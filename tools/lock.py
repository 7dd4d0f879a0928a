"""The lock without addresses: ``uv.lock`` names every file by its name and SHA-256, and no place to get it from.

``python tools/lock.py update`` resolves pyproject.toml anew, to the newest versions that fit, with whatever package index this machine
is configured for, and writes ``uv.lock``; it does nothing while the lock is current, unless told ``--again``. ``check`` says whether
the lock still belongs to pyproject.toml; it needs no network.

Where files come from is a matter of each machine (a mirror, a proxy, a classroom cache); what they are is a matter of the repository. So
the lock keeps the second alone. ``uv export --frozen`` reads it as it is, and ``uv pip sync --require-hashes`` then takes the files
from the configured index and refuses any whose hash differs. ``tools/setup.py`` does just that.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "uv.lock"
INDEX = "index"  # a relative folder that need not exist: uv reads it as "some local index"

# The wheels that Linux on x86_64 and aarch64 can use; halab runs nowhere else.
_PLATFORM = re.compile(r"^(any|((many)?linux[^-]*_(x86_64|aarch64)))$")


def strip(lock: str) -> str:
    """The lock's text without index names, addresses, upload times and files for other platforms."""
    lock = re.sub(r'source = \{ registry = "[^"]*" \}', f'source = {{ registry = "{INDEX}" }}', lock)
    lock = re.sub(r'\burl = "[^"]*/([^/"]+)"', r'path = "\1"', lock)
    lock = re.sub(r', upload-time = "[^"]*"', "", lock)
    return "\n".join(line for line in lock.splitlines() if _wanted(line)) + "\n"


def _wanted(line: str) -> bool:
    wheel = re.search(r'path = "([^"]+)\.whl"', line)
    if wheel is None:
        return True
    platforms = wheel[1].rpartition("-")[2].split(".")
    return any(_PLATFORM.match(platform) for platform in platforms)


def stale(lock: str, project: str) -> list[str]:
    """How the lock differs from what pyproject.toml asks for, one sentence each; empty when it is current."""
    wanted = tomllib.loads(project)
    locked = next((one for one in tomllib.loads(lock)["package"] if one["name"] == wanted["project"]["name"]), None)
    if locked is None:
        return ["the lock does not contain the project"]
    metadata = locked["metadata"]
    found = _differences("dependencies", wanted["project"]["dependencies"], metadata.get("requires-dist", []))
    groups = wanted.get("dependency-groups", {})
    for group in sorted({*groups, *metadata.get("requires-dev", {})}):
        found += _differences(group, groups.get(group, []), metadata.get("requires-dev", {}).get(group, []))
    if "://" in lock:
        found.append("the lock contains addresses")
    return found


def _differences(where: str, wanted: list[str], locked: list[dict[str, str]]) -> list[str]:
    asked = {_name(text): _specifier(text) for text in wanted}
    held = {one["name"]: _canonical(one.get("specifier", "")) for one in locked}
    found = [f"{where}: {name}{asked[name]} is not locked" for name in sorted(asked) if held.get(name) != asked[name]]
    return found + [f"{where}: {name} is locked but no longer asked for" for name in sorted(held.keys() - asked)]


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()  # type: ignore[index]


def _specifier(requirement: str) -> str:
    return _canonical(re.sub(r"^[A-Za-z0-9._-]+(\[[^]]*\])?", "", requirement).partition(";")[0])


def _canonical(specifier: str) -> str:
    return ",".join(sorted(part.strip() for part in specifier.split(",") if part.strip()))


def update(uv: str) -> None:
    """Resolve in a scratch folder, so that nothing with an address ever stands in the tree."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, scratch)
        subprocess.run([uv, "lock", "--quiet"], cwd=scratch, check=True)
        LOCK.write_text(strip((Path(scratch) / "uv.lock").read_text()))


def main(arguments: list[str]) -> int:
    if arguments == ["check"]:
        found = stale(LOCK.read_text(), (ROOT / "pyproject.toml").read_text())
        for line in found:
            print(f"uv.lock: {line}; run: make build", file=sys.stderr)
        return 1 if found else 0
    if arguments[:1] == ["update"]:
        if not LOCK.exists() or "--again" in arguments or stale(LOCK.read_text(), (ROOT / "pyproject.toml").read_text()):
            from setup import find_uv

            update(find_uv())
        return 0
    print("usage: lock.py check | update [--again]", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
