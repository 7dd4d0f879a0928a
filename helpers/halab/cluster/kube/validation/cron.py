"""What is wrong with a cron schedule, in the words of the parser that Kubernetes uses (robfig/cron's standard parser)."""

from __future__ import annotations

from halab.cluster.kube.gotext import quote

_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))  # minute, hour, day of month, month, day of week
_MONTHS = {
    name: i + 1 for i, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))
}
_DAYS = {name: i for i, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


def schedule_fault(schedule: str) -> str:
    """Empty if the schedule can be parsed."""
    text = schedule
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2].strip()
    if text.startswith("@"):
        if text in _DESCRIPTORS:
            return ""
        if text.startswith("@every "):
            return ""
        return f"unrecognized descriptor: {text}"
    fields = text.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for field, (low, high) in zip(fields, _BOUNDS, strict=True):
        names = _MONTHS if (low, high) == (1, 12) else _DAYS if (low, high) == (0, 6) else {}
        for part in field.split(","):
            fault = _range_fault(part, low, high, names)
            if fault:
                return fault
    return ""


def _range_fault(text: str, low: int, high: int, names: dict[str, int]) -> str:
    span, *steps = text.split("/")
    ends = span.split("-")
    if len(steps) > 1:
        return f"too many slashes: {text}"
    if ends[0] in ("*", "?"):
        start, end = low, high
    else:
        numbers = []
        for part in ends[:2]:
            number, fault = _number(part, names)
            if fault:
                return fault
            numbers.append(number)
        if len(ends) > 2:
            return f"too many hyphens: {text}"
        start = numbers[0]
        end = numbers[1] if len(numbers) == 2 else start
    if steps:
        step, fault = _number(steps[0], {})
        if fault:
            return fault
        if len(ends) == 1 and ends[0] not in ("*", "?"):
            end = high
        if step == 0:
            return f"step of range should be a positive number: {text}"
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {text}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {text}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {text}"
    return ""


def _number(text: str, names: dict[str, int]) -> tuple[int, str]:
    if text.lower() in names:
        return names[text.lower()], ""
    try:
        number = int(text) if text.lstrip("+-").isdigit() else None
    except ValueError:
        number = None
    if number is None:
        return 0, f"failed to parse int from {text}: strconv.Atoi: parsing {quote(text)}: invalid syntax"
    return (number, "") if number >= 0 else (0, f"negative number ({number}) not allowed: {text}")
