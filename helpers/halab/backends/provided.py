"""The images that a lab begins with: built from the course's folders, and anew whenever those have changed.

A label of the image says what it was built from. An image of that name without such a label is the learner's own, made in an earlier lab: it
stays, whatever the course's folder holds. Neighbours: each backend's ``provide_image`` brings what is built here to its nodes.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from halab.errors import ImageError
from halab.images.api import Request
from halab.images.types import Engine

LABEL = "io.halab.provided"  # REFERENCE@digest of the sources: a label is inherited by images built upon this one, the name tells them apart
FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)", re.MULTILINE | re.IGNORECASE)


def is_current(engine: Engine, reference: str, folder: Path) -> bool:
    """Whether ``engine`` has ``reference``, as ``folder`` makes it now or as the learner made it."""
    try:
        config = engine.inspect(reference).get("Config") or {}
    except ImageError:
        return False
    label = str((config.get("Labels") or {}).get(LABEL, ""))
    return not label.startswith(f"{reference}@") or label == sources(engine, reference, folder)


def request(engine: Engine, reference: str, folder: Path) -> Request:
    return Request(folder, tags=(reference,), labels={LABEL: sources(engine, reference, folder)})


def sources(engine: Engine, reference: str, folder: Path) -> str:
    """``REFERENCE@`` and a digest of the folder's files and of the images that its Dockerfile builds upon, as far as they are there."""
    found = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        found.update(f"{file.relative_to(folder)} {file.stat().st_mode & 0o777:o} ".encode() + file.read_bytes())
    for base in FROM.findall((folder / "Dockerfile").read_text()):
        try:
            found.update(str(engine.inspect(base).get("Id", "")).encode())
        except ImageError:
            continue  # an earlier stage of the same file, or a base that is fetched or made when it is built
    return f"{reference}@{found.hexdigest()[:16]}"
