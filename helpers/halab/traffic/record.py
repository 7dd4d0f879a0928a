"""One request as the probe saw it, and how it is written: a JSON array a line, so that a record is readable while it grows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import orjson

ASTRAY = "went astray"  # how the error of a request begins that halab's own way to the cluster broke, not the cluster


class Request(NamedTuple):
    """``at`` is the second (Unix time) at which the request was *due*; ``latency`` the seconds from then to the end of the answer, so that
    time spent waiting behind slow requests counts (no coordinated omission). ``status`` is 0 when no answer came; ``error`` says why.
    ``by`` is the pod that answered, where the answer tells (header X-Served-By), else empty."""

    at: float
    latency: float
    status: int
    by: str = ""
    error: str = ""

    @property
    def astray(self) -> bool:
        """It never was a user's request as far as the cluster is concerned: neither a success nor a failure."""
        return self.error.startswith(ASTRAY)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 400


def dump(requests: Iterable[Request]) -> bytes:
    return b"".join(orjson.dumps([round(r.at, 6), round(r.latency, 6), r.status, r.by, r.error]) + b"\n" for r in requests)


def load(lines: Iterable[bytes]) -> Iterator[Request]:
    """Requests of a record. A last line that was cut short (the probe was killed) is passed over."""
    for line in lines:
        if line.endswith(b"\n"):
            yield Request(*orjson.loads(line))
