"""What the printers of all kinds share: columns, ages, and the texts of selectors, containers and addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.types import Obj

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"

Cells = list[Any]
Printer = Callable[[Obj, datetime], Cells]


@dataclass(frozen=True, slots=True)
class Column:
    """One column definition; ``priority`` 0 is always shown, 1 only in wide output.

    ``path`` is used by custom resources' columns only.
    """

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""
    path: str = ""

    def definition(self) -> Obj:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a kind, and the function that gives an object's cells in the same order."""

    columns: tuple[Column, ...]
    cells: Printer


NAME = Column(
    "Name",
    format="name",
    description=(
        "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the "
        "generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot "
        "be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
    ),
)
AGE = Column(
    "Age",
    description=(
        "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in "
        "happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC."
    ),
)
CONTAINERS = Column("Containers", priority=1, description="Names of each container in the template.")
IMAGES = Column("Images", priority=1, description="Images referenced by each container in the template.")
SELECTOR = Column("Selector", priority=1, description="Label selector for pods.")


def wide(name: str, type: str = "string", description: str = "") -> Column:
    """A column of wide output."""
    return Column(name, type, priority=1, description=description)


def number(name: str, description: str = "") -> Column:
    return Column(name, "integer", description=description)


def text(name: str, description: str = "") -> Column:
    return Column(name, description=description)


def meta(obj: Obj) -> Obj:
    return obj.get("metadata") or {}


def name_of(obj: Obj) -> str:
    return str(meta(obj).get("name", ""))


def spec_of(obj: Obj) -> Obj:
    return obj.get("spec") or {}


def status_of(obj: Obj) -> Obj:
    return obj.get("status") or {}


def at(obj: Any, *path: str, default: Any = None) -> Any:
    """What is at ``path``, or ``default`` where any part is missing or null."""
    for part in path:
        if not isinstance(obj, Mapping):
            return default
        obj = obj.get(part)
    return default if obj is None else obj


def parse_time(value: str | None) -> datetime | None:
    if not value:
        return None
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(UTC)
    except ValueError:
        return None


def age(obj: Obj, now: datetime) -> str:
    return since(meta(obj).get("creationTimestamp"), now)


def since(timestamp: str | None, now: datetime) -> str:
    """The time since ``timestamp`` as kubectl shows it: "5m30s", "<unknown>" without one."""
    parsed = parse_time(timestamp)
    return UNKNOWN if parsed is None else duration((now - parsed).total_seconds())


def duration(seconds: float) -> str:
    """apimachinery's ``HumanDuration``: two units at most, fewer the longer it lasts."""
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    whole = int(seconds)
    if whole < 120:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days, hours = divmod(hours, 24)
    if days < 8:
        return f"{days}d{hours}h" if hours else f"{days}d"
    if days < 730:
        return f"{days}d"
    years, days = divmod(days, 365)
    if years < 8:
        return f"{years}y{days}d" if days else f"{years}y"
    return f"{years}y"


def containers(template: Obj) -> tuple[str, str]:
    """(names, images) of a pod template's containers, joined by commas."""
    found: Sequence[Obj] = at(template, "spec", "containers", default=())
    return ",".join(c.get("name", "") for c in found), ",".join(c.get("image", "") for c in found)


def labels_text(labels: Mapping[str, str] | None) -> str:
    """Labels as "a=b,c=d", "<none>" without any."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def selector_text(selector: Obj | None) -> str:
    """A LabelSelector object as text, "<none>" if it is empty."""
    try:
        return str(from_label_selector(selector)) or NONE
    except ValueError:
        return "<error>"


def joined(values: Iterable[str], limit: int, total: int | None = None) -> str:
    """The first ``limit`` values; "a,b,c + 2 more..." where there are more (``total`` in all)."""
    values = list(values)
    total = len(values) if total is None else total
    shown = ",".join(values[:limit])
    return f"{shown} + {total - limit} more..." if total > limit else shown


def boolean(value: bool | None) -> str:
    return UNSET if value is None else ("True" if value else "False")
