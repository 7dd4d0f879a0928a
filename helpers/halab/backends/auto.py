"""``--backend auto``: which kind of cluster this machine does best, why, and what would give a better one."""

from __future__ import annotations

from dataclasses import dataclass

from halab.backends import choice, preflight


@dataclass(frozen=True, slots=True)
class Chosen:
    """``backend``, and one line that says why and what would be better."""

    backend: str
    why: str


def choose(name: str) -> Chosen:
    """What was chosen before stays; else kind where everything for it is there; else the embedded cluster."""
    known = choice.read(name)
    if known is not None:
        return Chosen(known.backend, f"{known.backend}: cluster {name} is one already (another: halab down --purge first)")
    if preflight.embedded_exists(name):
        return Chosen(choice.EMBEDDED, f"embedded: cluster {name} is one already (another: halab down --purge first)")
    failed = [finding for finding in preflight.kind_findings() if finding.level == "fail"]
    if not failed:
        return Chosen(
            choice.KIND,
            "kind: Docker, kind and kubectl are here, so it is a real Kubernetes in containers (lighter: --backend embedded)",
        )
    first = failed[0]
    better = f"; {first.remedy}" if first.remedy else ""
    return Chosen(
        choice.EMBEDDED, f"embedded: it needs nothing; for a real Kubernetes (kind), {first.subject}: {first.fact}{better}"
    )
