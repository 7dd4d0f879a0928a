"""Which files of a build context are left out: the rules of .dockerignore.

https://docs.docker.com/build/concepts/context/#dockerignore-files: Go's filepath.Match plus ``**``, later lines win, ``!`` takes back. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


def _translate(pattern: str) -> str:
    out, at = "", 0
    while at < len(pattern):
        letter = pattern[at]
        if pattern.startswith("**", at):
            at += 2
            if pattern.startswith("/", at):
                at += 1
                out += "(?:.*/)?"
            else:
                out += ".*"
            continue
        if letter == "*":
            out += "[^/]*"
        elif letter == "?":
            out += "[^/]"
        elif letter == "[" and "]" in pattern[at:]:
            end = pattern.index("]", at + 1)
            out += "[" + pattern[at + 1 : end].replace("\\", "\\\\") + "]"
            at = end
        elif letter == "\\" and at + 1 < len(pattern):
            at += 1
            out += re.escape(pattern[at])
        else:
            out += re.escape(letter)
        at += 1
    return out


def glob(pattern: str) -> re.Pattern[str]:
    """A pattern of COPY or .dockerignore as a regular expression on a whole relative path."""
    return re.compile(_translate(pattern) + r"\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Ignore:
    rules: tuple[tuple[re.Pattern[str], bool], ...]

    @classmethod
    def parse(cls, text: str) -> Ignore:
        rules = []
        for line in text.removeprefix("\ufeff").splitlines():
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            back = line.startswith("!")
            pattern = line.removeprefix("!").strip().strip("/").removeprefix("./")
            if pattern in ("", "."):
                continue
            # A pattern that matches a directory leaves out all that is below it.
            rules.append((re.compile(_translate(pattern) + r"(?:/.*)?\Z", re.DOTALL), not back))
        return cls(tuple(rules))

    def excludes(self, path: str) -> bool:
        """``path`` is relative with forward slashes."""
        out = False
        for rule, ignored in self.rules:
            if ignored != out and rule.match(path):
                out = ignored
        return out
