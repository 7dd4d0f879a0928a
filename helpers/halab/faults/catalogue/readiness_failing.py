"""The readiness probe fails."""

from __future__ import annotations

from halab.faults.probes import ProbeFailing


class ReadinessFailing(ProbeFailing):
    name = "readiness-failing"
    title = "Readiness failing"
    does = "Every readiness probe of the container fails; the program itself is well."
    expect = (
        "The pod becomes unready (0/1) and leaves its Services' endpoints; it is not restarted. Users are served by the others."
    )
    within = "periodSeconds x failureThreshold of the probe (30 s by default)"
    heals = "The probe is asked again: after successThreshold successes the pod is back."
    probe = "readiness"
