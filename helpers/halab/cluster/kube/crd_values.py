"""What a custom resource's schema says about values: defaults, and validation in the API server's words."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import date, datetime
from ipaddress import ip_address
from typing import Any

from halab.cluster.kube.gotext import quote, to_json
from halab.cluster.kube.status import (
    FieldError,
    duplicate,
    invalid_value,
    not_supported,
    required,
    too_long,
    too_many,
    type_invalid,
)
from halab.cluster.kube.types import Obj


def apply_defaults(raw: Obj, value: Any) -> None:
    """Fill in defaults below ``value`` in place: of absent members, and of null ones that may not be null."""
    if isinstance(value, dict):
        for name, child in (raw.get("properties") or {}).items():
            if "default" in child and (name not in value or (value[name] is None and not child.get("nullable"))):
                value[name] = deepcopy(child["default"])
            elif name in value and value[name] is None and not child.get("nullable"):
                del value[name]
            if name in value:
                apply_defaults(child, value[name])
        additional = raw.get("additionalProperties")
        if isinstance(additional, dict):
            for name, item in value.items():
                if name not in (raw.get("properties") or {}):
                    if item is None and "default" in additional and not additional.get("nullable"):
                        value[name] = deepcopy(additional["default"])
                    apply_defaults(additional, value[name])
    elif isinstance(value, list) and isinstance(raw.get("items"), dict):
        for item in value:
            apply_defaults(raw["items"], item)


def validate(raw: Obj, obj: Obj, old: Obj | None = None) -> list[FieldError]:
    """The faults of a whole object. Its apiVersion, kind and metadata are not looked at, nor what is as it was in ``old``."""
    given = {name: child for name, child in (raw.get("properties") or {}).items() if name not in _OWN}
    members = {name: value for name, value in obj.items() if name not in _OWN}
    wanted = [name for name in raw.get("required") or () if name not in _OWN]
    whole = {**raw, "properties": given, "required": wanted}
    if old is None:
        return list(_faults(whole, members, ""))
    before = {name: value for name, value in old.items() if name not in _OWN}
    return list(_changed(whole, members, before, ""))


def _changed(raw: Obj, value: Any, old: Any, path: str) -> Iterator[FieldError]:
    """The faults of what an update changes: a fault at a value that stayed is Kubernetes' business of yesterday (ratcheting)."""
    if value == old:
        return
    stayed = _same_places(raw, value, old, path)
    for fault in _faults(raw, value, path):
        if not any(fault.path == place or fault.path.startswith((f"{place}.", f"{place}[")) for place in stayed):
            yield fault


def _same_places(raw: Obj, value: Any, old: Any, path: str) -> list[str]:
    """The paths below ``path`` whose values did not change; list items are compared only where the schema gives them keys."""
    places: list[str] = []
    if isinstance(value, dict) and isinstance(old, dict):
        properties, additional = raw.get("properties") or {}, raw.get("additionalProperties")
        for name, item in value.items():
            child = properties.get(name, additional if isinstance(additional, dict) else None)
            if child is not None and name in old:
                where = _join(path, name)
                places += [where] if item == old[name] else _same_places(child, item, old[name], where)
    elif isinstance(value, list) and isinstance(old, list) and raw.get("x-kubernetes-list-type") == "map":
        keys = raw.get("x-kubernetes-list-map-keys") or ()
        known = [({key: item.get(key) for key in keys}, item) for item in old if isinstance(item, dict)]
        for index, item in enumerate(value):
            found = [other for key, other in known if isinstance(item, dict) and key == {k: item.get(k) for k in keys}]
            if found:
                where = f"{path}[{index}]"
                places += [where] if item == found[0] else _same_places(raw.get("items") or {}, item, found[0], where)
    return places


_OWN = ("apiVersion", "kind", "metadata")
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def _faults(raw: Obj, value: Any, path: str) -> Iterator[FieldError]:
    if value is None:
        if not raw.get("nullable") and raw.get("type"):
            yield _wrong_type(path, "null", raw["type"])
        return
    if raw.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, int | str):
            yield _wrong_type(path, _type_name(value), "integer,string")
        return
    kind = raw.get("type", "")
    if kind and not _is(value, kind):
        yield _wrong_type(path, _type_name(value), kind)
        return
    if "enum" in raw and value not in raw["enum"]:
        shown = [choice if isinstance(choice, str) else to_json(choice) for choice in raw["enum"]]
        yield not_supported(path, value, shown)
    if isinstance(value, dict):
        yield from _object(raw, value, path)
    elif isinstance(value, list):
        yield from _array(raw, value, path)
    elif isinstance(value, str):
        yield from _string(raw, value, path)
    elif not isinstance(value, bool):
        yield from _number(raw, value, path)
    yield from _combined(raw, value, path)


def _object(raw: Obj, value: Obj, path: str) -> Iterator[FieldError]:
    if (most := raw.get("maxProperties")) is not None and len(value) > most:
        yield too_many(path, len(value), most)
    if (least := raw.get("minProperties")) is not None and len(value) < least:
        yield invalid_value(path, len(value), f"{path} in body should have at least {least} properties")
    properties, additional = raw.get("properties") or {}, raw.get("additionalProperties")
    for name in raw.get("required") or ():
        if name not in value:
            yield required(_join(path, name))
    for name, item in value.items():
        child = properties.get(name)
        if child is None and isinstance(additional, dict):
            child = additional
        if child is not None:
            yield from _faults(child, item, _join(path, name))


def _array(raw: Obj, value: list[Any], path: str) -> Iterator[FieldError]:
    if (most := raw.get("maxItems")) is not None and len(value) > most:
        yield too_many(path, len(value), most)
    if (least := raw.get("minItems")) is not None and len(value) < least:
        yield invalid_value(path, len(value), f"{path} in body should have at least {least} items")
    if isinstance(raw.get("items"), dict):
        for index, item in enumerate(value):
            yield from _faults(raw["items"], item, f"{path}[{index}]")
    yield from _duplicates(raw, value, path)


def _duplicates(raw: Obj, value: list[Any], path: str) -> Iterator[FieldError]:
    kind, keys = raw.get("x-kubernetes-list-type"), raw.get("x-kubernetes-list-map-keys") or ()
    if kind not in ("set", "map"):
        return
    defaults = {key: ((raw.get("items") or {}).get("properties") or {}).get(key, {}).get("default") for key in keys}
    seen: list[Any] = []
    for index, item in enumerate(value):
        if kind == "map":
            if not isinstance(item, dict):
                continue
            item = {key: item.get(key, defaults[key]) for key in keys if item.get(key, defaults[key]) is not None}
        if item in seen:
            yield duplicate(f"{path}[{index}]", item)
        seen.append(item)


def _string(raw: Obj, value: str, path: str) -> Iterator[FieldError]:
    length = len(value)
    if (most := raw.get("maxLength")) is not None and length > most:
        yield too_long(path, most)
    if (least := raw.get("minLength")) is not None and length < least:
        yield invalid_value(path, value, f"{path} in body should be at least {least} chars long")
    if (pattern := raw.get("pattern")) and not _matches(pattern, value):
        yield invalid_value(path, value, f"{path} in body should match '{pattern}'")
    if (form := raw.get("format")) and form in _FORMATS and not _FORMATS[form](value):
        yield type_invalid(path, value, f"{path} in body must be of type {form}: {quote(value)}")


def _number(raw: Obj, value: int | float, path: str) -> Iterator[FieldError]:
    if (least := raw.get("minimum")) is not None:
        if raw.get("exclusiveMinimum") and value <= least:
            yield invalid_value(path, value, f"{path} in body should be greater than {_plain(least)}")
        elif value < least:
            yield invalid_value(path, value, f"{path} in body should be greater than or equal to {_plain(least)}")
    if (most := raw.get("maximum")) is not None:
        if raw.get("exclusiveMaximum") and value >= most:
            yield invalid_value(path, value, f"{path} in body should be less than {_plain(most)}")
        elif value > most:
            yield invalid_value(path, value, f"{path} in body should be less than or equal to {_plain(most)}")
    if (factor := raw.get("multipleOf")) and value % factor:
        yield invalid_value(path, value, f"{path} in body should be a multiple of {_plain(factor)}")


def _combined(raw: Obj, value: Any, path: str) -> Iterator[FieldError]:
    """``allOf``, ``anyOf``, ``oneOf`` and ``not``, which may only validate in a structural schema."""
    named = quote(path)
    for part in raw.get("allOf") or ():
        yield from _faults(part, value, path)
    if choices := raw.get("anyOf"):
        found = [list(_faults(choice, value, path)) for choice in choices]
        if all(found):
            yield invalid_value(path, _shown(value), f"{named} must validate at least one schema (anyOf)")
            yield from found[0]
    if choices := raw.get("oneOf"):
        valid = sum(not any(True for _ in _faults(choice, value, path)) for choice in choices)
        if valid != 1:
            what = "Found none valid" if not valid else f"Found {valid} valid alternatives"
            yield invalid_value(path, _shown(value), f"{named} must validate one and only one schema (oneOf). {what}")
    if isinstance(raw.get("not"), dict) and not any(True for _ in _faults(raw["not"], value, path)):
        yield invalid_value(path, _shown(value), f"{named} must not validate the schema (not)")


def _shown(value: Any) -> Any:
    return value if isinstance(value, str) else ""


def _join(path: str, name: str) -> str:
    if "." in name or "/" in name:
        return f"{path}[{name}]" if path else name
    return f"{path}.{name}" if path else name


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, (object,)))


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    for name, types in (("object", (dict,)), ("array", (list,)), ("string", (str,)), ("integer", (int,)), ("number", (float,))):
        if isinstance(value, types):
            return name
    return "null"


def _wrong_type(path: str, given: str, wanted: str) -> FieldError:
    return type_invalid(path, given, f"{path} in body must be of type {wanted}: {quote(given)}")


def _plain(number: int | float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _matches(pattern: str, value: str) -> bool:
    """Go's regular expressions and Python's agree on what schemas use; one that Python cannot read matches anything."""
    try:
        return re.search(pattern.replace(r"\z", r"\Z"), value) is not None
    except re.error:
        return True


def _date_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return False
    return "T" in value or "t" in value


def _date(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _address(version: int) -> Any:
    def check(value: str) -> bool:
        try:
            return ip_address(value).version == version
        except ValueError:
            return False

    return check


def _base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return False
    return True


_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_DURATION = re.compile(r"[+-]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+|0")
_FORMATS = {
    "date-time": _date_time,
    "date": _date,
    "ipv4": _address(4),
    "ipv6": _address(6),
    "byte": _base64,
    "uuid": lambda value: _UUID.fullmatch(value) is not None,
    "duration": lambda value: _DURATION.fullmatch(value) is not None,
}
