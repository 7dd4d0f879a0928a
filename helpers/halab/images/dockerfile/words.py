"""Variables and quotes in the arguments of instructions: ``$NAME``, ``${NAME:-default}``, ``'single'``, ``"double"``, escapes.

Rules: https://docs.docker.com/reference/dockerfile/#environment-replacement. Pure.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

from halab.errors import ImageError


class _Reader:
    def __init__(self, text: str, variables: Mapping[str, str], escape: str) -> None:
        self.text, self.variables, self.escape, self.at = text, variables, escape, 0

    def peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def take(self) -> str:
        letter = self.peek()
        self.at += 1
        return letter


def expand(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """One word: variables replaced, quotes removed. Raises ImageError for unbalanced quotes or a bad ``${...}``."""
    return "".join(_pieces(_Reader(text, variables, escape), ""))


def split(text: str, variables: Mapping[str, str] | None = None, escape: str = "\\") -> list[str]:
    """Words separated by blanks outside quotes; with ``variables`` each is expanded too (a value with blanks stays one word)."""
    words: list[str] = []
    current, quote, at, begun = "", "", 0, False
    while at < len(text):
        letter = text[at]
        if letter == escape and quote != "'" and at + 1 < len(text):
            current += text[at : at + 2]
            at, begun = at + 2, True
            continue
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter.isspace():
            if begun:
                words.append(current)
            current, begun, at = "", False, at + 1
            continue
        current, begun, at = current + letter, True, at + 1
    if begun:
        words.append(current)
    return words if variables is None else [expand(word, variables, escape) for word in words]


def _pieces(reader: _Reader, until: str) -> list[str]:
    found: list[str] = []
    while letter := reader.peek():
        if until and letter in until:
            return found
        reader.take()
        if letter == "'":
            end = reader.text.find("'", reader.at)
            if end < 0:
                raise ImageError(f"word {reader.text!r}", "unexpected end of statement while looking for matching single-quote")
            found.append(reader.text[reader.at : end])
            reader.at = end + 1
        elif letter == '"':
            found.append(_double(reader))
        elif letter == reader.escape:
            found.append(reader.take())
        elif letter == "$":
            found.append(_variable(reader))
        else:
            found.append(letter)
    return found


def _double(reader: _Reader) -> str:
    found: list[str] = []
    while letter := reader.take():
        if letter == '"':
            return "".join(found)
        if letter == reader.escape and reader.peek() in ('"', "$", reader.escape):
            found.append(reader.take())
        elif letter == "$":
            found.append(_variable(reader))
        else:
            found.append(letter)
    raise ImageError(f"word {reader.text!r}", "unexpected end of statement while looking for matching double-quote")


def _name(reader: _Reader) -> str:
    name = ""
    while (letter := reader.peek()) and (letter.isalnum() or letter == "_"):
        name += reader.take()
        if name.isdigit():
            break
    return name


def _variable(reader: _Reader) -> str:
    if reader.peek() != "{":
        name = _name(reader)
        return reader.variables.get(name, "") if name else "$"
    reader.take()
    name = _name(reader)
    value = reader.variables.get(name)
    operator = reader.take()
    if not name or not operator:
        raise ImageError(f"word {reader.text!r}", "bad substitution", "write ${NAME} or ${NAME:-default}")
    if operator == "}":
        return value or ""
    if operator in "#%/":
        return _pattern(reader, operator, value or "")
    colon = operator == ":"
    if colon:
        operator = reader.take()
    if operator not in ("-", "+", "?"):
        raise ImageError(f"word {reader.text!r}", f"unsupported modifier ({operator}) in substitution")
    word = "".join(_pieces(reader, "}"))
    if reader.take() != "}":
        raise ImageError(f"word {reader.text!r}", "syntax error: missing '}'")
    present = value is not None and not (colon and value == "")
    if operator == "-":
        return (value or "") if present else word
    if operator == "+":
        return word if present else ""
    if not present:
        raise ImageError(f"variable {name}", word or "is not set")
    return value or ""


def _pattern(reader: _Reader, operator: str, value: str) -> str:
    """``${v#p}``, ``${v##p}``, ``${v%p}``, ``${v%%p}``, ``${v/p/r}`` and ``${v//p/r}`` with shell patterns."""
    twice = reader.peek() == operator
    if twice:
        reader.take()
    if operator == "/":
        pattern = "".join(_pieces(reader, "/}"))
        replacement = ""
        if reader.peek() == "/":
            reader.take()
            replacement = "".join(_pieces(reader, "}"))
        reader.take()
        return _replace(value, pattern, replacement, everywhere=twice)
    pattern = "".join(_pieces(reader, "}"))
    reader.take()
    lengths = range(len(value) + 1)
    for length in reversed(lengths) if twice else lengths:
        part = value[:length] if operator == "#" else value[len(value) - length :]
        if fnmatch.fnmatchcase(part, pattern):
            return value[length:] if operator == "#" else value[: len(value) - length]
    return value


def _replace(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    out, at = "", 0
    while at < len(value):
        end = next((end for end in range(len(value), at, -1) if fnmatch.fnmatchcase(value[at:end], pattern)), 0)
        if not end:
            out, at = out + value[at], at + 1
            continue
        out, at = out + replacement, end
        if not everywhere:
            break
    return out + value[at:]
