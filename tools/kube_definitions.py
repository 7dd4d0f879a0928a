"""Write ``helpers/halab/cluster/kube/definitions.json``: the shapes of all served kinds, compactly.

Two sources are merged, because neither says everything:

* the OpenAPI definitions in the ``kubernetes-validate`` wheel: types, list and map types, merge keys, patch strategies, enums,
  required fields;
* the Go types of Kubernetes' own API packages (k8s.io/api, apimachinery, apiextensions-apiserver, kube-aggregator), which alone
  tell what a zero value looks like on the wire: which fields are pointers, which are left out when empty, in which order and
  under which type names Go prints them.

    python tools/kube_definitions.py DIRECTORY     DIRECTORY holds checkouts named api, apimachinery, apiextensions-apiserver and kube-aggregator
    python tools/kube_definitions.py --check       the OpenAPI half of the file agrees with the installed wheel

The file: ``{"definitions": {name: [go type, flags, [field, ...]]}, "kubernetes": version}``; a field is
``[name, type, emission, go type, extras?]``. Types: ``s`` string, ``i``/``l`` int32/int64, ``b`` bool, ``d`` double, ``q`` quantity,
``x`` int-or-string, ``t``/``m``/``u`` Time/MicroTime/Duration, ``y`` bytes, ``a`` anything, ``=NAME`` a definition, ``[T`` a list, ``{T`` a map.
Emission: ``p`` a pointer (kept when set), ``o`` left out when zero, ``n`` always there, ``z`` a value left out only by omitzero.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "helpers" / "halab" / "cluster" / "kube" / "definitions.json"
MINOR = "v1.34.0-local"

PREFIXES = {
    "io.k8s.api.": "api",
    "io.k8s.apimachinery.pkg.": "apimachinery/pkg",
    "io.k8s.apiextensions-apiserver.pkg.": "apiextensions-apiserver/pkg",
    "io.k8s.kube-aggregator.pkg.": "kube-aggregator/pkg",
}
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "q",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "x",
    META + "Time": "t",
    META + "MicroTime": "m",
    META + "Duration": "u",
    META + "FieldsV1": "a",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "a",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "a",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "a",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "a",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "a",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus": "a",
}
EXTRAS = {
    "x-kubernetes-patch-merge-key": "mk",
    "x-kubernetes-patch-strategy": "ps",
    "x-kubernetes-list-type": "lt",
    "x-kubernetes-list-map-keys": "lk",
    "x-kubernetes-map-type": "mt",
    "x-kubernetes-unions": None,
}
FIELD = re.compile(r"^\s*(?:(?P<name>\w+)\s+)?(?P<type>[\w.*\[\]{}]+(?:\[[\w.*]+\][\w.*]+)?)\s+`(?P<tags>[^`]*)`")

Field = tuple[str, str, list[str]]  # JSON name, Go type, JSON options


def openapi() -> dict[str, Any]:
    import kubernetes_validate

    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / MINOR
    definitions: dict[str, Any] = json.loads((folder / "_definitions.json").read_text())["$defs"]
    return definitions


def served() -> list[str]:
    sys.path.insert(0, str(ROOT / "helpers"))
    from halab.cluster.kube.kinds import BUILTIN, UNLISTED

    roots = [k.definition for k in (*BUILTIN, *UNLISTED) if k.definition]
    return [*roots, META + "DeleteOptions", META + "Status", META + "ListMeta", META + "LabelSelector"]


class GoTypes:
    """The struct and named types of one Go package, read from its source text."""

    def __init__(self, folder: Path) -> None:
        self.structs: dict[str, list[Field | str]] = {}
        self.named: dict[str, str] = {}
        for path in sorted(folder.glob("*.go")):
            if not path.name.startswith("zz_") and "_test" not in path.name and "generated" not in path.name:
                self._read(path.read_text())

    def _read(self, text: str) -> None:
        for match in re.finditer(r"^type (\w+) struct \{\n(.*?)^\}", text, re.M | re.S):
            self.structs[match[1]] = list(self._fields(match[2]))
        for match in re.finditer(r"^type (\w+) ([\w.\[\]*]+)$", text, re.M):
            self.named[match[1]] = match[2]

    @staticmethod
    def _fields(body: str) -> Iterator[Field | str]:
        for line in body.splitlines():
            if line.lstrip().startswith("//") or not (match := FIELD.match(line)):
                continue
            tag = re.search(r'json:"([^"]*)"', match["tags"])
            if not tag:
                continue
            name, *options = tag[1].split(",")
            if "inline" in options or (not name and not match["name"]):
                yield match["type"].lstrip("*").rpartition(".")[2]
            elif name != "-":
                yield name, match["type"], options


class Merger:
    def __init__(self, definitions: dict[str, Any], sources: Path) -> None:
        self.definitions, self.sources = definitions, sources
        self.packages: dict[str, GoTypes] = {}
        self.out: dict[str, list[Any]] = {}

    def package(self, definition: str) -> GoTypes:
        path = definition.rpartition(".")[0]
        if path not in self.packages:
            prefix = next(p for p in PREFIXES if path.startswith(p))
            self.packages[path] = GoTypes(self.sources / PREFIXES[prefix] / path[len(prefix) :].replace(".", "/"))
        return self.packages[path]

    def add(self, definition: str) -> None:
        if definition in self.out or definition in SPECIAL:
            return
        schema = self.definitions[definition]
        version, name = definition.split(".")[-2:]
        record: list[Any] = [f"{version}.{name}", self._extras(schema), []]
        self.out[definition] = record
        go = self.package(definition)
        properties = schema.get("properties", {})
        required = set(schema.get("required", ()))
        for json_name, go_type, options in self._flat(go, name):
            if json_name in properties:
                record[2].append(
                    self._field(definition, json_name, go_type, options, properties[json_name], json_name in required)
                )
        missing = set(properties) - {f[0] for f in record[2]}
        if missing:
            raise SystemExit(f"{definition}: not found in Go: {sorted(missing)}")

    def _flat(self, go: GoTypes, name: str) -> Iterator[Field]:
        if name == "TypeMeta" and name not in go.structs:
            yield "kind", "string", ["omitempty"]
            yield "apiVersion", "string", ["omitempty"]
            return
        for entry in go.structs.get(name, []):
            if isinstance(entry, str):
                yield from self._flat(go, entry)
            else:
                yield entry

    def _field(self, definition: str, name: str, go_type: str, options: list[str], schema: Any, required: bool) -> list[Any]:
        kind = self._type(schema)
        pointer = go_type.startswith("*")
        plain = self._print(definition, go_type.lstrip("*"))
        if pointer:
            emission = "p" if "omitempty" in options else "n"
        elif "omitzero" in options:
            emission = "z"
        elif "omitempty" in options and kind[0] not in "=qxtmu" and not (kind == "a" and "RawExtension" in go_type):
            emission = "o"
        else:
            emission = "n"
        extras = self._extras(schema)
        if required:
            extras["r"] = 1
        if pointer:
            extras["p"] = 1
        field = [name, kind, emission, plain]
        return [*field, extras] if extras else field

    def _type(self, schema: Any) -> str:
        if "$ref" in schema:
            name: str = schema["$ref"].rpartition("/")[2]
            if name in SPECIAL:
                return SPECIAL[name]
            self.add(name)
            return "=" + name
        types = schema.get("type")
        types = [t for t in ([types] if isinstance(types, str) else types or []) if t != "null"]
        what = types[0] if types else ""
        if what == "array":
            return "[" + self._type(schema["items"])
        if what == "object":
            return "{" + self._type(schema["additionalProperties"]) if "additionalProperties" in schema else "a"
        if what == "string":
            return "y" if schema.get("format") == "byte" else "s"
        if what == "integer":
            return "l" if schema.get("format") == "int64" else "i"
        return {"boolean": "b", "number": "d"}.get(what, "a")

    def _extras(self, schema: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for long, short in EXTRAS.items():
            if short and long in schema:
                found[short] = schema[long]
        if "enum" in schema:
            found["e"] = [v for v in schema["enum"] if v is not None]
        return found

    def _print(self, definition: str, go_type: str) -> str:
        """The type as Go's error messages print it: local names get their package's name."""
        package = definition.split(".")[-2]
        basic = {"string", "bool", "int32", "int64", "int", "float64", "byte", "uint8", "map", "interface", "uint32", "int8"}

        def qualify(match: re.Match[str]) -> str:
            word = match[0]
            if "." in word:
                return word.replace("metav1.", "v1.")
            return word if word in basic else f"{package}.{word}"

        return re.sub(r"[A-Za-z_][\w.]*", qualify, go_type).replace("[]byte", "[]uint8")


def write(sources: Path) -> None:
    merger = Merger(openapi(), sources)
    for name in served():
        merger.add(name)
    lines = [f" {json.dumps(name)}: {json.dumps(record, separators=(',', ':'))}" for name, record in sorted(merger.out.items())]
    TARGET.write_text('{"kubernetes": "1.34", "definitions": {\n' + ",\n".join(lines) + "\n}}\n")
    print(f"{TARGET.relative_to(ROOT)}: {len(merger.out)} definitions, {TARGET.stat().st_size // 1024} KiB", file=sys.stderr)


def check() -> int:
    """0 if each definition has exactly the fields that the wheel's has."""
    definitions, ours = openapi(), json.loads(TARGET.read_text())["definitions"]
    faults = [n for n, r in ours.items() if {f[0] for f in r[2]} != set(definitions.get(n, {}).get("properties", {}))]
    for name in faults:
        print(
            f"{TARGET.name}: {name}: differs from the installed kubernetes-validate; run: python {sys.argv[0]} DIRECTORY",
            file=sys.stderr,
        )
    return 1 if faults else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(check())
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(Path(sys.argv[1]))
