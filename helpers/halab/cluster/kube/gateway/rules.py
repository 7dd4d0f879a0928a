"""Gateway API's own validation rules (its published ``x-kubernetes-validations``, standard channel), put into the schemas by place."""

from __future__ import annotations

from typing import Any

import orjson

from halab.cluster.kube.types import Obj

_FILTERS = ("requestHeaderModifier", "responseHeaderModifier", "requestMirror", "requestRedirect", "extensionRef", "urlRewrite")


def _kind_of(field: str) -> str:
    return "URLRewrite" if field == "urlRewrite" else field[0].upper() + field[1:]


def _union() -> list[tuple[str, str]]:
    """A filter has the member that its type names, and no other."""
    found = []
    for field in _FILTERS:
        kind = _kind_of(field)
        found.append(
            (f"filter.{field} must be nil if the filter.type is not {kind}", f"!(has(self.{field}) && self.type != '{kind}')")
        )
        found.append(
            (f"filter.{field} must be specified for {kind} filter.type", f"!(!has(self.{field}) && self.type == '{kind}')")
        )
    return found


_PATH_CHANGE = [
    ("replaceFullPath must be specified when type is set to 'ReplaceFullPath'",
     "self.type == 'ReplaceFullPath' ? has(self.replaceFullPath) : true"),
    ("type must be 'ReplaceFullPath' when replaceFullPath is set",
     "has(self.replaceFullPath) ? self.type == 'ReplaceFullPath' : true"),
    ("replacePrefixMatch must be specified when type is set to 'ReplacePrefixMatch'",
     "self.type == 'ReplacePrefixMatch' ? has(self.replacePrefixMatch) : true"),
    ("type must be 'ReplacePrefixMatch' when replacePrefixMatch is set",
     "has(self.replacePrefixMatch) ? self.type == 'ReplacePrefixMatch' : true"),
]  # fmt: skip
_SERVICE_PORT = [
    ("Must have port for Service reference", "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true")
]
_ABSOLUTE = "(self.type in ['Exact','PathPrefix']) ? "
_PATH_MATCH = [
    ("value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
     _ABSOLUTE + "self.value.startsWith('/') : true"),
    *[(f"must not contain '{part}' when type one of ['Exact', 'PathPrefix']", f"{_ABSOLUTE}!self.value.contains('{part}') : true")
      for part in ("//", "/./", "/../", "%2f", "%2F", "#")],
    *[(f"must not end with '{part}' when type one of ['Exact', 'PathPrefix']", f"{_ABSOLUTE}!self.value.endsWith('{part}') : true")
      for part in ("/..", "/.")],
    ("type must be one of ['Exact', 'PathPrefix', 'RegularExpression']",
     "self.type in ['Exact','PathPrefix'] || self.type == 'RegularExpression'"),
]  # fmt: skip


def _once(kind: str) -> tuple[str, str]:
    return f"{kind} filter cannot be repeated", f"self.filter(f, f.type == '{kind}').size() <= 1"


_FILTER_LIST = [
    ("May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both",
     "!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))"),
    *map(_once, ("RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite")),
]  # fmt: skip
_ROUTE_RULE = [
    ("RequestRedirect filter must not be used together with backendRefs",
     "(has(self.backendRefs) && size(self.backendRefs) > 0) ? (!has(self.filters) || self.filters.all(f, !has(f.requestRedirect))): true"),
]  # fmt: skip
_TIMEOUTS = [
    ("backendRequest timeout cannot be longer than request timeout",
     "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && "
     "duration(self.backendRequest) > duration(self.request))"),
]  # fmt: skip
_RULES = "spec.rules.[]"
_HTTP_ROUTE: dict[str, list[tuple[str, str]]] = {
    _RULES: _ROUTE_RULE,
    f"{_RULES}.timeouts": _TIMEOUTS,
    f"{_RULES}.matches.[].path": _PATH_MATCH,
    f"{_RULES}.filters": _FILTER_LIST,
    f"{_RULES}.filters.[]": _union(),
    f"{_RULES}.filters.[].requestRedirect.path": _PATH_CHANGE,
    f"{_RULES}.filters.[].urlRewrite.path": _PATH_CHANGE,
    f"{_RULES}.filters.[].requestMirror.backendRef": _SERVICE_PORT,
    f"{_RULES}.backendRefs.[]": _SERVICE_PORT,
    f"{_RULES}.backendRefs.[].filters": _FILTER_LIST,
    f"{_RULES}.backendRefs.[].filters.[]": _union(),
}
_GATEWAY: dict[str, list[tuple[str, str]]] = {
    "spec.listeners": [
        ("tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
         "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)"),
        ("tls mode must be Terminate for protocol HTTPS",
         "self.all(l, (l.protocol == 'HTTPS' && has(l.tls)) ? (l.tls.mode == '' || l.tls.mode == 'Terminate') : true)"),
        ("hostname must not be specified for protocols ['TCP', 'UDP']",
         "self.all(l, l.protocol in ['TCP', 'UDP']  ? (!has(l.hostname) || l.hostname == '') : true)"),
        ("Listener name must be unique within the Gateway", "self.all(l1, self.exists_one(l2, l1.name == l2.name))"),
        ("Combination of port, protocol and hostname must be unique for each listener",
         "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && (has(l1.hostname) && has(l2.hostname) ? "
         "l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))"),
    ],
    "spec.listeners.[].tls": [
        ("certificateRefs or options must be specified when mode is Terminate",
         "self.mode == 'Terminate' ? size(self.?certificateRefs.orValue([])) > 0 || size(self.?options.orValue({})) > 0 : true"),
    ],
}  # fmt: skip
_CLASS: dict[str, list[tuple[str, str]]] = {"spec.controllerName": [("Value is immutable", "self == oldSelf")]}
_BY_KIND = {"HTTPRoute": _HTTP_ROUTE, "Gateway": _GATEWAY, "GatewayClass": _CLASS}


def attach(kind: str, schema: Obj) -> Obj:
    """The schema of ``kind`` with its rules; ``[]`` in a place means the items of a list."""
    schema = orjson.loads(orjson.dumps(schema))  # its blocks are shared between places
    for place, rules in _BY_KIND[kind].items():
        here: Any = schema
        for name in place.split("."):
            here = here["items"] if name == "[]" else here["properties"][name]
        here["x-kubernetes-validations"] = [{"message": message, "rule": rule} for message, rule in rules]
    return schema
