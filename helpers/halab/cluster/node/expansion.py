"""``$(VAR)`` in commands, arguments and variables (https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/)."""

from __future__ import annotations

from collections.abc import Mapping


def expand(text: str, values: Mapping[str, str], *, strict: bool = False) -> str:
    """``$(NAME)`` becomes its value, or stays as written when there is none; ``$$`` becomes ``$``; all else stays.

    ``strict``: a name without a value raises KeyError.
    """
    if "$" not in text:
        return text
    out: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char != "$" or at + 1 == len(text):
            out.append(char)
            at += 1
            continue
        following = text[at + 1]
        if following == "$":
            out.append("$")
            at += 2
        elif following == "(" and (end := text.find(")", at + 2)) >= 0:
            name = text[at + 2 : end]
            out.append(values[name] if strict else values.get(name, text[at : end + 1]))
            at = end + 1
        else:
            out.append("$" + following)
            at += 2
    return "".join(out)
