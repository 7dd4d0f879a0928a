"""A Dockerfile's text -> instructions, with the line each began on.

Source of the rules: https://docs.docker.com/reference/dockerfile/ (parser directives, continuation lines, comments inside them,
heredocs, exec form). Every mistake is an ImageError that names file and line.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from typing import NoReturn

from halab.errors import ImageError

KNOWN = ["ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"]  # fmt: skip
_WITH_FLAGS = {"ADD", "COPY", "FROM", "HEALTHCHECK", "RUN"}
_FLAGS = {
    "ADD": {"chown", "chmod", "link", "checksum", "keep-git-dir", "exclude"},
    "COPY": {"from", "chown", "chmod", "link", "parents", "exclude"},
    "FROM": {"platform"},
    "HEALTHCHECK": {"interval", "timeout", "start-period", "start-interval", "retries"},
    "RUN": {"mount", "network", "security"},
}
_JSON_FORM = {"ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"}
_HEREDOC = re.compile(r"<<(-?)(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\2")
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*\Z")


@dataclass(frozen=True, slots=True)
class Heredoc:
    name: str
    content: str
    expand: bool  # false when the delimiter was quoted


@dataclass(frozen=True, slots=True)
class Instruction:
    """``name`` is upper case, ``rest`` everything after name and flags on one line, ``words`` the exec (JSON) form or None.

    ``line`` counts from 1; ``source`` is the logical line as written (continuations joined), for progress and messages.
    """

    name: str
    rest: str
    line: int
    source: str
    words: tuple[str, ...] | None = None
    flags: tuple[tuple[str, str], ...] = ()
    heredocs: tuple[Heredoc, ...] = field(default=())

    def flag(self, name: str) -> str:
        """The last value of a flag, or an empty string."""
        return next((value for key, value in reversed(self.flags) if key == name), "")


@dataclass(frozen=True, slots=True)
class Dockerfile:
    name: str  # the file's path as shown in messages
    instructions: tuple[Instruction, ...]
    escape: str = "\\"


def parse(text: str, name: str = "Dockerfile") -> Dockerfile:
    """Raises ImageError with ``name:line`` for what is no Dockerfile."""
    lines = text.removeprefix("\ufeff").splitlines()
    escape, start = _directives(lines, name)
    found: list[Instruction] = []
    at = start
    while at < len(lines):
        stripped = lines[at].strip()
        if not stripped or stripped.startswith("#"):
            at += 1
            continue
        begin = at
        logical, at = _logical_line(lines, at, escape)
        heredocs: list[Heredoc] = []
        if logical.split(None, 1)[0].upper() in ("RUN", "COPY", "ADD"):
            for match in _HEREDOC.finditer(logical):
                heredoc, at = _heredoc(lines, at, match, f"{name}:{begin + 1}")
                heredocs.append(heredoc)
        found.append(_instruction(logical, begin + 1, name, tuple(heredocs)))
    if not found:
        raise ImageError(name, "the file is empty", "begin with FROM, e.g. FROM nginx:1.27")
    first = next((item for item in found if item.name != "ARG"), found[0])
    if first.name != "FROM":
        raise ImageError(
            f"{name}:{first.line}", f"no build stage in current context: {first.name} stands before FROM", "begin with FROM"
        )
    return Dockerfile(name, tuple(found), escape)


def _directives(lines: list[str], name: str) -> tuple[str, int]:
    escape = "\\"
    for number, line in enumerate(lines):
        match = _DIRECTIVE.match(line.strip())
        if match is None:
            return escape, number
        if match[1].lower() == "escape":
            if match[2] not in ("\\", "`"):
                raise ImageError(f"{name}:{number + 1}", f"invalid ESCAPE {match[2]!r}", "it is \\ or `")
            escape = match[2]
    return escape, len(lines)


def _logical_line(lines: list[str], at: int, escape: str) -> tuple[str, int]:
    """Join continuation lines; comments and empty lines between them vanish, as Docker does it."""
    parts: list[str] = []
    continued = True
    while continued and at < len(lines):
        line = lines[at]
        at += 1
        if parts and (not line.strip() or line.lstrip().startswith("#")):
            continue
        trimmed = line.rstrip()
        continued = trimmed.endswith(escape)
        parts.append((trimmed[:-1] if continued else line) if parts else (trimmed[:-1] if continued else trimmed).lstrip())
    return "".join(parts).strip(), at


def _heredoc(lines: list[str], at: int, match: re.Match[str], where: str) -> tuple[Heredoc, int]:
    content: list[str] = []
    while at < len(lines):
        line = lines[at].lstrip("\t") if match[1] else lines[at]
        at += 1
        if line == match[3]:
            return Heredoc(match[3], "".join(part + "\n" for part in content), not match[2]), at
        content.append(line)
    raise ImageError(where, f"unterminated heredoc {match[3]}", f"end it with a line that holds only {match[3]}")


def _instruction(logical: str, line: int, file: str, heredocs: tuple[Heredoc, ...]) -> Instruction:
    name, _, rest = logical.partition(" ") if " " in logical.split("\t")[0] else logical.partition("\t")
    word, rest = name.upper(), rest.strip()
    where = f"{file}:{line}"
    if word not in KNOWN:
        near = difflib.get_close_matches(word, KNOWN, 1, 0.6)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ImageError(where, f"unknown instruction: {name}", f"{hint}known are: {', '.join(KNOWN)}")
    flags: list[tuple[str, str]] = []
    if word in _WITH_FLAGS:
        while match := re.match(r"--([a-z-]+)(?:=(\S*))?(?:\s+|\Z)", rest):
            if match[1] not in _FLAGS[word]:
                raise ImageError(
                    where,
                    f"unknown flag: --{match[1]} for {word}",
                    f"known are: {', '.join('--' + flag for flag in sorted(_FLAGS[word]))}",
                )
            flags.append((match[1], match[2] if match[2] is not None else "true"))
            rest = rest[match.end() :]
    if not rest:
        raise ImageError(where, f"{word} requires at least one argument")
    words = _exec_form(rest, where) if word in _JSON_FORM else None
    if word == "SHELL" and words is None:
        raise ImageError(where, "SHELL requires the arguments to be in JSON form", 'e.g. SHELL ["/bin/bash", "-c"]')
    if word == "ONBUILD":
        inner = _instruction(rest, line, file, heredocs)
        if inner.name in ("ONBUILD", "FROM", "MAINTAINER"):
            raise ImageError(where, f"{inner.name} isn't allowed as an ONBUILD trigger")
    return Instruction(word, rest, line, logical, words, tuple(flags), heredocs)


def _exec_form(rest: str, where: str) -> tuple[str, ...] | None:
    """The JSON form, or None for the shell form. What looks like JSON but is not is shell form too (Docker), except with a clear mistake."""
    if not rest.startswith("["):
        return None
    try:
        value = json.loads(rest)
    except ValueError:
        if re.fullmatch(r"\[\s*'[^]]*'\s*\]", rest):
            raise ImageError(where, "the exec form takes double quotes", f"write {rest.replace(chr(39), chr(34))}") from None
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


def fail(file: str, instruction: Instruction, fact: str, remedy: str = "") -> NoReturn:
    """An ImageError that names file, line and instruction."""
    raise ImageError(f"{file}:{instruction.line}", f"{instruction.name}: {fact}", remedy)
