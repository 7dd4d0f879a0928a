"""Write ``helpers/halab/cluster/kube/protobuf.json``: the field numbers of the API's protobuf encoding.

kubectl's typed commands (``create``, ``autoscale``, ``drain``, ``auth can-i`` ...) send their bodies as protobuf, so the numbers of the
published ``generated.proto`` files are needed for every kind that is served. Only numbers, names and types are kept.

    python tools/kube_protobuf.py DIRECTORY     DIRECTORY holds checkouts named api and apimachinery (kubernetes 1.34)

The file: ``{"messages": {name: [[number, JSON name, type], ...]}}``. Types: ``s`` string, ``i`` integer, ``b`` bool, ``y`` bytes, ``d`` double,
``=NAME`` a message, ``!NAME`` a message whose fields belong to the parent, ``[T`` repeated, ``{T`` a map from strings.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "helpers"))
TARGET = ROOT / "helpers" / "halab" / "cluster" / "kube" / "protobuf.json"
SCALARS = {"string": "s", "int32": "i", "int64": "i", "uint32": "i", "uint64": "i", "bool": "b", "bytes": "y", "double": "d"}
FIELD = re.compile(r"^\s*(optional|repeated|required)?\s*(map<\s*\w+\s*,\s*([\w.]+)\s*>|[\w.]+)\s+(\w+)\s*=\s*(\d+)\s*(\[.*\])?;")
Messages = dict[str, list[list[object]]]


def parse(path: Path, found: Messages) -> None:
    """Add the messages of one .proto file, by full name."""
    package, message = "", ""
    for line in path.read_text().splitlines():
        if match := re.match(r"package ([\w.]+);", line):
            package = match[1]
        elif match := re.match(r"message (\w+) \{", line):
            message = f"{package}.{match[1]}"
            found[message] = []
        elif message and (match := FIELD.match(line)):
            label, whole, value, name, number, _ = match.groups()
            kind = "{" + _type(value, package) if value else _type(whole, package)
            found[message].append([int(number), name, "[" + kind if label == "repeated" else kind])


def _type(text: str, package: str) -> str:
    if text in SCALARS:
        return SCALARS[text]
    name = text.lstrip(".")
    return "=" + (name if "." in name else f"{package}.{name}")


def mark_inline(messages: Messages) -> None:
    """A message that is no JSON field of its parent gives the parent its fields."""
    from halab.cluster.kube.schema import definition_node

    for message, fields in messages.items():
        try:
            properties = definition_node(message.replace("k8s.io.", "io.k8s.", 1)).properties or {}
        except KeyError:
            continue
        if not properties:
            continue
        for field in fields:
            if field[1] not in properties:
                named = {name.lower(): name for name in properties}.get(str(field[1]).lower())
                if named:  # uID is uid, aPIGroup is apiGroup
                    field[1] = named
                elif str(field[2]).startswith("="):
                    field[2] = "!" + str(field[2])[1:]
                else:
                    print(f"{message}: {field[1]} is no JSON field", file=sys.stderr)


def reachable(messages: Messages, roots: list[str]) -> Messages:
    kept: Messages = {}
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name in kept or name not in messages:
            continue
        kept[name] = messages[name]
        for field in messages[name]:
            inner = str(field[2]).lstrip("[{")
            if inner[0] in "=!":
                todo.append(inner[1:])
    return dict(sorted(kept.items()))


def main() -> None:
    from halab.cluster.kube import kinds

    directory = Path(sys.argv[1])
    messages: Messages = {}
    for path in sorted(directory.glob("api*/**/generated.proto")):
        parse(path, messages)
    roots = [kind.definition.replace("io.k8s.", "k8s.io.", 1) for kind in (*kinds.BUILTIN, *kinds.UNLISTED) if kind.definition]
    roots += [f"k8s.io.apimachinery.pkg.apis.meta.v1.{name}" for name in ("DeleteOptions", "Status")]
    kept = reachable(messages, roots)
    mark_inline(kept)
    lines = [f" {json.dumps(name)}: {json.dumps(fields, separators=(',', ':'))}" for name, fields in kept.items()]
    TARGET.write_text('{"messages": {\n' + ",\n".join(lines) + "\n}}\n")
    print(f"{len(kept)} messages, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
