"""Which backend a cluster's name stands for, remembered from ``halab up --backend`` for every later command and notebook.

``$HALAB_HOME/backends/NAME/`` (0700) holds ``choice.json``, a kubeconfig of the backend's own, and the records of active faults.
A name without a choice is the embedded cluster.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from halab.cluster.supervisor.files import private_directory, write_private
from halab.errors import ClusterError
from halab.settings import halab_home

FILE = "choice.json"
EMBEDDED, KIND, EXISTING, AUTO = "embedded", "kind", "existing", "auto"
BACKENDS = (AUTO, EMBEDDED, KIND, EXISTING)


@dataclass(frozen=True, slots=True)
class Choice:
    """``options`` are the backend's own, as ``up`` was told them; ``made`` says what halab created and may therefore remove."""

    backend: str
    options: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)


def folder_of(name: str, home: Path | None = None) -> Path:
    return (home or halab_home()) / "backends" / name


def read(name: str) -> Choice | None:
    """None where nothing was chosen (then it is the embedded cluster)."""
    path = folder_of(name) / FILE
    try:
        return Choice(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise ClusterError(
            f"cluster {name}", f"{path} cannot be read ({error})", f"remove {path.parent} and run: halab up"
        ) from error


def write(name: str, choice: Choice) -> None:
    private_directory(folder_of(name))
    write_private(folder_of(name) / FILE, json.dumps(asdict(choice), indent=1))


def forget(name: str) -> None:
    shutil.rmtree(folder_of(name), ignore_errors=True)


def names() -> list[str]:
    return sorted(path.parent.name for path in (halab_home() / "backends").glob(f"*/{FILE}"))
