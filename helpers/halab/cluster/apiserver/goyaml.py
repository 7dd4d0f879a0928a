"""YAML as Kubernetes writes it (sigs.k8s.io/yaml): keys sorted, lists not indented, double quotes where a plain text would be
read as something else, a literal block for several lines. Imported on first use: hardly any client asks for YAML."""

from __future__ import annotations

from typing import Any

import yaml

_RESOLVER: Any = yaml.resolver.Resolver()
_TEXT = "tag:yaml.org,2002:str"
_OLD_BOOLEANS = frozenset({"y", "Y", "n", "N"})


class _Dumper(yaml.CSafeDumper):
    pass


def _text(dumper: Any, value: str) -> Any:
    if "\n" in value:
        style = "|"
    elif value in _OLD_BOOLEANS or _RESOLVER.resolve(yaml.ScalarNode, value, (True, False)) != _TEXT:
        style = '"'
    else:
        style = None
    return dumper.represent_scalar(_TEXT, value, style=style)


_Dumper.add_representer(str, _text)


def dump(value: Any) -> bytes:
    """``value`` (of JSON's types) as YAML."""
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=1 << 30)
    return str(text).encode()
