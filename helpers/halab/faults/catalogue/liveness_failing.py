"""The liveness probe fails."""

from __future__ import annotations

from halab.faults.probes import ProbeFailing


class LivenessFailing(ProbeFailing):
    name = "liveness-failing"
    title = "Liveness failing"
    does = "Every liveness probe of the container fails; the program itself is well."
    expect = "kubelet kills and restarts the container, again and again: a wrong liveness probe does more harm than none."
    within = "periodSeconds x failureThreshold of the probe (30 s by default)"
    heals = "The probe is asked again; a container in CrashLoopBackOff waits for its next start."
    probe = "liveness"
