"""A scaler that looks ahead. ``replicas`` is called once a second with the load so far, and says how many pods there should be."""

import math

DAY = 20  # seconds: our days are short
LEAD = 4  # seconds from asking for a pod until it serves
PER_POD = 12.0  # requests a second that one pod answers at its ease
MOST = 5


def forecast(history: list[float], ahead: int) -> float:
    """Requests a second, ``ahead`` seconds from now. ``history`` has a number for every second so far, oldest first."""
    return history[-1]  # that nothing will change is a forecast too, but not a good one


def replicas(history: list[float]) -> int:
    """As many as the highest load between now and the moment at which a pod asked for now would serve."""
    load = max(forecast(history, ahead) for ahead in range(LEAD + 1))
    return min(MOST, max(1, math.ceil(load / PER_POD)))
