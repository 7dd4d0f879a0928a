"""A cluster's objects name its addresses and its directory; in another place both are others."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import orjson

from halab.settings import Addresses


def relocation(old: Addresses, directory: str, new: Addresses, new_directory: Path) -> Callable[[bytes], bytes]:
    """A function on an object's JSON: addresses of the old plan become the new plan's, paths below ``directory`` those below the new one.

    It works on the text, so that addresses inside annotations and managed fields move as well. A Secret's data (base64) is left alone.
    Both runtimes' plans are alike within their /16, so a cluster of containers may become one of processes and back.
    """
    moves = {old.prefix: new.prefix}
    if old.api.rpartition(".0.1")[0] not in moves:  # a bridge's cluster has the API server and its agents on loopback
        moves[old.api.rpartition(".0.1")[0]] = new.api.rpartition(".0.1")[0]
    table = {before.encode(): after.encode() for before, after in moves.items()}
    address = re.compile(rb"(?<![\d.])(%s)(?=\.\d{1,3}\.\d{1,3}(?!\d))" % b"|".join(re.escape(one) for one in table))
    before, after = (b'"' + orjson.dumps(text)[1:-1] + b"/" for text in (directory, str(new_directory)))

    def change(value: bytes) -> bytes:
        if old != new:
            value = address.sub(lambda found: table[found[1]], value)
        return value.replace(before, after)

    return change
