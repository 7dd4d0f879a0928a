"""The arithmetic of availability over a record of requests. Pure: lists in, numbers out.

Terms are those of the SRE literature: the success rate is good requests over all; the error budget is what a target leaves to fail;
requests that went astray on halab's own way to the cluster count for nothing, and are told apart;
an outage is a stretch in which every request failed, a loss one in which some did; time to detect and time to recover count from the moment of the fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hdrh.histogram import HdrHistogram

from halab.traffic.record import Request

CALM = 1.0  # seconds without a failure that end a stretch of losses
LOWEST, HIGHEST, DIGITS = 1, 60_000_000, 3  # microseconds kept by the histogram: 1 us to 60 s, 3 significant digits


@dataclass(frozen=True, slots=True)
class Availability:
    """``latency_ms`` maps 50, 90, 99 and 99.9 to milliseconds over the requests that were answered; ``longest_outage`` is in seconds,
    ``hurt`` too: the time in which some user lost a request, while others may have been served."""

    sent: int
    ok: int
    success_rate: float
    latency_ms: dict[str, float]
    longest_outage: float
    failures: dict[str, int] = field(default_factory=dict)
    by: dict[str, int] = field(default_factory=dict)
    astray: int = 0
    hurt: float = 0.0

    def budget_left(self, target: float) -> float:
        """The share of the error budget of ``target`` (such as 0.999) that is left: 1 untouched, 0 used up, below 0 overspent."""
        if not 0 < target < 1:
            raise ValueError(f"a target is between 0 and 1, such as 0.999, not {target}")
        return 1.0 - (1.0 - self.success_rate) / (1.0 - target) if self.sent else 1.0

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """As the value of a notebook's cell: for people, too."""
        printer.text(self.sentence())

    def sentence(self) -> str:
        """What happened, in a line for people."""
        if not self.sent:
            return "no request was sent" + self._astray()
        text = f"{self.ok} of {self.sent} requests answered ({self.success_rate:.2%})"
        if self.latency_ms:
            text += f", half within {self.latency_ms['50']:.1f} ms, 99% within {self.latency_ms['99']:.1f} ms"
        if self.failures:
            text += "; failed: " + ", ".join(f"{count} x {why}" for why, count in self.failures.items())
            text += f"; users lost requests for {self.hurt:.1f} s, longest outage {self.longest_outage:.2f} s"
        return text + self._astray()

    def _astray(self) -> str:
        return f"; {self.astray} more went astray on halab's own way to the cluster and do not count" if self.astray else ""


def summarize(requests: Sequence[Request]) -> Availability:
    """Sum up a record. Requests may be in any order."""
    requests, sent = [r for r in requests if not r.astray], len(requests)
    ok = [r for r in requests if r.ok]
    failures = Counter(r.error or str(r.status) for r in requests if not r.ok)
    return Availability(
        sent=len(requests),
        ok=len(ok),
        success_rate=len(ok) / len(requests) if requests else 1.0,
        latency_ms=percentiles(r.latency for r in ok),
        longest_outage=longest_outage(requests),
        failures=dict(failures.most_common()),
        by=dict(sorted(Counter(r.by for r in ok if r.by).items())),
        astray=sent - len(requests),
        hurt=sum(one.end - one.begin for one in losses(requests)),
    )


def percentiles(latencies: Iterable[float]) -> dict[str, float]:
    """Seconds in; milliseconds at 50, 90, 99 and 99.9 percent out. Empty for no latencies."""
    histogram = HdrHistogram(LOWEST, HIGHEST, DIGITS)
    count = 0
    for latency in latencies:
        histogram.record_value(min(max(int(latency * 1e6), LOWEST), HIGHEST))
        count += 1
    return {str(p): histogram.get_value_at_percentile(p) / 1000 for p in (50, 90, 99, 99.9)} if count else {}


def longest_outage(requests: Iterable[Request]) -> float:
    """Seconds of the longest stretch of failures only: from the first failed request's due time to the next good one's (or the last failure's)."""
    longest, began = 0.0, None
    last = 0.0
    for request in sorted(r for r in requests if not r.astray):
        last = request.at
        if request.ok:
            if began is not None:
                longest = max(longest, request.at - began)
            began = None
        elif began is None:
            began = request.at
    return max(longest, last - began) if began is not None else longest


@dataclass(frozen=True, slots=True)
class Loss:
    """A stretch in which requests were lost, with less than ``CALM`` seconds between two of them. ``begin`` is when the first of them was due,
    ``end`` when the first good one after the last was (Unix times)."""

    begin: float
    end: float
    lost: int


def losses(requests: Iterable[Request]) -> list[Loss]:
    """Where users were hurt, and for how long; requests may be in any order."""
    found: list[Loss] = []
    begin, last, end, lost = 0.0, 0.0, 0.0, 0
    for request in sorted(r for r in requests if not r.astray):
        if lost and request.at - last > CALM:
            found.append(Loss(begin, end or last, lost))
            lost = 0
        if request.ok:
            end = end or request.at
            continue
        begin, last, end, lost = (begin if lost else request.at), request.at, 0.0, lost + 1
    return [*found, Loss(begin, end or last, lost)] if lost else found


def time_to_detect(requests: Iterable[Request], fault: float) -> float | None:
    """Seconds from ``fault`` (Unix time) to the first failed request after it; None if users never noticed."""
    failed = [r.at for r in requests if not r.ok and not r.astray and r.at >= fault]
    return min(failed) - fault if failed else None


def time_to_recover(requests: Iterable[Request], fault: float) -> float | None:
    """Seconds from ``fault`` to the first good request after the last failed one; 0 if none failed, None if it has not recovered."""
    after = [r for r in requests if r.at >= fault and not r.astray]
    failed = [r.at for r in after if not r.ok]
    if not failed:
        return 0.0
    good = [r.at for r in after if r.ok and r.at > max(failed)]
    return min(good) - fault if good else None


def by_second(requests: Iterable[Request]) -> list[tuple[int, int, int, float]]:
    """(second, good, failed, median milliseconds of the good ones), a row for every second in which a request was due."""
    rows: dict[int, tuple[list[float], int]] = {}
    for request in (r for r in requests if not r.astray):
        latencies, failed = rows.get(int(request.at), ([], 0))
        if request.ok:
            latencies.append(request.latency)
        rows[int(request.at)] = (latencies, failed + (not request.ok))
    return [(s, len(ls), failed, sorted(ls)[len(ls) // 2] * 1000 if ls else 0.0) for s, (ls, failed) in sorted(rows.items())]
