"""What a failure of the catalogue is: declared in words, planned without touching anything, injected, healed.

``plan`` looks and says what would be hit; its ``data`` (JSON) is all that ``inject`` and ``heal`` get to know, so that a failure can be
healed by another process than the one that injected it. ``heal`` may be called twice, or for a failure that was injected by half.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from halab.backends.access import Api
from halab.backends.controls import Controls
from halab.errors import UsageError

Data = dict[str, Any]
Options = Mapping[str, Any]
LONGEST = 3600.0  # seconds that a failure may last


@dataclass(frozen=True, slots=True)
class Option:
    """A setting of a failure. The type of ``default`` is the type of the setting; numbers lie between ``least`` and ``most``."""

    name: str
    default: str | float | int
    help: str
    least: float = 0.0
    most: float = 1e9

    def read(self, fault: str, given: object) -> str | float | int:
        """The value, from text or as it is. Raises UsageError."""
        if isinstance(self.default, str):
            return str(given)
        try:
            value = type(self.default)(str(given))
        except ValueError as error:
            raise UsageError(
                f"fault {fault}", f"{self.name}={given} is not a number", f"{self.name}: {self.help} (default {self.default})"
            ) from error
        if not self.least <= value <= self.most:
            raise UsageError(f"fault {fault}", f"{self.name}={given} is not between {self.least:g} and {self.most:g}")
        return value


@dataclass(frozen=True, slots=True)
class Place:
    """Where a failure is injected: the API in the learner's namespace, and the backend's controls."""

    api: Api
    namespace: str
    controls: Controls


@dataclass(frozen=True, slots=True)
class Plan:
    """``hits`` names what would be hit, a line each; two failures with a key of ``keys`` in common exclude each other."""

    hits: tuple[str, ...]
    keys: tuple[str, ...]
    data: Data


class Fault(ABC):
    """One failure. The texts are for learners: what it does, what is to be expected, after how long, how it heals."""

    name: ClassVar[str]
    title: ClassVar[str]
    does: ClassVar[str]
    expect: ClassVar[str]
    within: ClassVar[str]  # after how long the effect is to be seen
    heals: ClassVar[str]
    target: ClassVar[str] = ""  # what is to be named: "pod", "deployment", "service", "node", "registry"; empty for nothing
    needs: ClassVar[frozenset[str]]
    cluster_wide: ClassVar[bool] = False  # hits others than the learner's namespace
    options: ClassVar[tuple[Option, ...]] = ()
    duration: ClassVar[float] = 60.0
    order: ClassVar[int] = 1  # of healing: what others' healing needs comes first

    @abstractmethod
    def plan(self, place: Place, target: str, options: Options) -> Plan:
        """Look, touch nothing. Raises ``UsageError`` for a target that does not exist or does not fit."""

    @abstractmethod
    def inject(self, place: Place, data: Data) -> None: ...

    @abstractmethod
    def heal(self, place: Place, data: Data) -> None: ...

    def settings(self, given: Options) -> dict[str, str | float | int]:
        """All options with their values. Raises UsageError for one that is unknown or out of range."""
        known = {option.name: option for option in self.options}
        if strange := sorted(set(given) - set(known)):
            raise UsageError(
                f"fault {self.name}", f"has no option {', '.join(strange)}", f"options: {', '.join(known) if known else 'none'}"
            )
        return {name: option.read(self.name, given.get(name, option.default)) for name, option in known.items()}

    def missing(self, powers: frozenset[str], *, shared: bool = False) -> list[str]:
        """Why it cannot be injected on a cluster with these powers; empty if it can."""
        lacking = sorted(self.needs - powers)
        return [*lacking, *(["a cluster of your own"] if shared and self.cluster_wide else [])]
