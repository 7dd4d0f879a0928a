"""Which stages a Dockerfile has and which of them a build needs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from halab.errors import ImageError
from halab.images.dockerfile.parser import Dockerfile, Instruction
from halab.images.dockerfile.words import expand, split


@dataclass(frozen=True, slots=True)
class Plan:
    """``groups`` are the stages' instructions, FROM first; ``wanted`` the indexes to build; ``arguments`` the global ARGs with their values."""

    file: str
    escape: str
    groups: tuple[tuple[Instruction, ...], ...]
    wanted: frozenset[int]
    arguments: Mapping[str, str]
    declared: frozenset[str]

    def base(self, instruction: Instruction) -> tuple[str, str]:
        """Image and stage name (empty if it has none) of a FROM."""
        return _base(self.file, self.escape, instruction, self.arguments)


def plan(dockerfile: Dockerfile, given: Mapping[str, str], target: str) -> Plan:
    """``given`` are build arguments, ``target`` a stage's name or number, or empty for the last. Raises ImageError for an unknown one."""
    groups: list[list[Instruction]] = []
    arguments: dict[str, str] = {}
    declared: set[str] = set()
    for instruction in dockerfile.instructions:
        if instruction.name == "FROM":
            groups.append([instruction])
        elif groups:
            groups[-1].append(instruction)
        else:
            for word in split(instruction.rest, None, dockerfile.escape):
                name, equals, default = word.partition("=")
                declared.add(name)
                if name in given:
                    arguments[name] = given[name]
                elif equals:
                    arguments[name] = expand(default, arguments, dockerfile.escape)
    names = {name: index for index, group in enumerate(groups) if (name := stage_name(group[0]))}
    last = len(groups) - 1
    if target:
        last = names.get(target.lower(), int(target) if target.isdigit() and int(target) < len(groups) else -1)
        if last < 0:
            known = ", ".join(names) or "none has a name"
            raise ImageError(dockerfile.name, f"target stage {target!r} could not be found", f"stages: {known}")
    wanted = _needed(dockerfile, groups, names, arguments, last)
    return Plan(dockerfile.name, dockerfile.escape, tuple(map(tuple, groups)), frozenset(wanted), arguments, frozenset(declared))


def _needed(
    dockerfile: Dockerfile, groups: list[list[Instruction]], names: Mapping[str, int], arguments: Mapping[str, str], target: int
) -> set[int]:
    """The target and every stage that it copies from, begins from or mounts."""
    needed: set[int] = set()
    pending = [target]
    while pending:
        index = pending.pop()
        if index in needed:
            continue
        needed.add(index)
        for instruction in groups[index]:
            if instruction.name == "FROM":
                words = [_base(dockerfile.name, dockerfile.escape, instruction, arguments)[0]]
            else:
                words = [instruction.flag("from")]
            words += re.findall(r"from=([^,\s]+)", " ".join(value for flag, value in instruction.flags if flag == "mount"))
            for word in words:
                other = names.get(word.lower(), int(word) if word.isdigit() else -1)
                if 0 <= other < index:
                    pending.append(other)
    return needed


def _base(file: str, escape: str, instruction: Instruction, arguments: Mapping[str, str]) -> tuple[str, str]:
    where = f"{file}:{instruction.line}"
    words = split(instruction.rest, arguments, escape)
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise ImageError(where, "FROM requires either one or three arguments", "FROM IMAGE [AS NAME]")
    if not words[0]:
        raise ImageError(where, f"base name ({instruction.rest}) should not be blank", "give the ARG a default")
    return words[0], words[2].lower() if len(words) == 3 else ""


def stage_name(instruction: Instruction) -> str:
    """The name after AS, in lower case, or empty."""
    match = re.search(r"\s+AS\s+(\S+)\s*\Z", instruction.rest, re.IGNORECASE)
    return match[1].lower() if match else ""
