"""A cluster that is brought up is whole: failures that were left from before (a machine switched off in the middle of one) are healed."""

from __future__ import annotations

from halab.backends.base import Backend
from halab.cli.output import say
from halab.cluster.supervisor import layout
from halab.errors import HalabError


def heal_embedded(name: str, *, fresh: bool) -> None:
    """``fresh``: the cluster's processes were just started. Nothing is imported where nothing was left."""
    if any((layout.directory_of(name) / "faults").glob("*.json")):
        from halab.backends.embedded import Embedded

        heal(Embedded(name), fresh=fresh)


def heal(backend: Backend, *, fresh: bool = False) -> None:
    """What cannot be healed is told, and is no reason to fail: it can be tried again."""
    from halab.faults import engine

    try:
        for record in engine.heal_leftovers(backend, fresh=fresh):
            say(f"healed {record.id}, which was left from before")
    except HalabError as error:
        say(str(error))
