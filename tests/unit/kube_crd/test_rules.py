"""``x-kubernetes-validations``: what rules say about objects, and what is said about rules (Kubernetes' words)."""

from __future__ import annotations

from typing import Any

import pytest

from halab.cluster.kube import crd_values, gateway
from halab.cluster.kube.cel import rules
from halab.cluster.kube.cel.engine import EvaluationError, compile_expression
from halab.cluster.kube.cel.fields import BadPath, escape, resolve
from halab.cluster.kube.validation.definitions import definition

INTEGER, STRING = {"type": "integer"}, {"type": "string"}


def spec(properties: dict[str, Any], *given: dict[str, Any], **more: Any) -> dict[str, Any]:
    inner = {"type": "object", "properties": properties, "x-kubernetes-validations": list(given), **more}
    return {"type": "object", "properties": {"spec": inner}}


def faults(schema: dict[str, Any], new: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    before = rules.ABSENT if old is None else {"spec": old}
    return [str(fault) for fault in rules.evaluate(rules.tree_of(schema, root=True), {"spec": new}, before)]


def test_a_rule_that_fails_says_its_message_or_itself() -> None:
    schema = spec(
        {"min": INTEGER, "max": INTEGER}, {"rule": "self.min <= self.max", "message": "min above max"}, {"rule": "self.min > 0"}
    )
    assert faults(schema, {"min": 1, "max": 2}) == []
    assert faults(schema, {"min": 0, "max": -1}) == [
        'spec: Invalid value: "object": min above max',
        'spec: Invalid value: "object": failed rule: self.min > 0',
    ]


def test_reason_field_path_and_message_expression() -> None:
    schema = spec(
        {"a": INTEGER, "b": {"type": "object", "properties": {"c": STRING}}},
        {
            "rule": "self.a < 5",
            "reason": "FieldValueForbidden",
            "fieldPath": ".a",
            "messageExpression": "'a is ' + string(self.a)",
        },
        {"rule": "self.a < 6", "reason": "FieldValueRequired", "fieldPath": ".b.c", "message": "needed"},
        {"rule": "self.a < 7", "reason": "FieldValueDuplicate"},
        {"rule": "self.a < 8", "messageExpression": "''", "message": "the message"},
    )
    assert faults(schema, {"a": 9}) == [
        "spec.a: Forbidden: a is 9",
        "spec.b.c: Required value: needed",
        'spec: Duplicate value: "object"',
        'spec: Invalid value: "object": the message',
    ]


def test_transition_rules_compare_with_the_former_value() -> None:
    schema = spec({"size": {**INTEGER, "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "may only grow"}]}})
    assert faults(schema, {"size": 1}) == []
    assert faults(schema, {"size": 2}, {"size": 1}) == []
    assert faults(schema, {"size": 1}, {"size": 2}) == ['spec.size: Invalid value: "integer": may only grow']
    assert faults(schema, {"size": 1}, {}) == []


def test_an_optional_old_self_is_asked_at_creation_too() -> None:
    rule = {"rule": "oldSelf.hasValue() || self.size == 0", "optionalOldSelf": True, "message": "starts at 0"}
    schema = spec({"size": INTEGER}, rule)
    assert faults(schema, {"size": 1}) == ['spec: Invalid value: "object": starts at 0']
    assert faults(schema, {"size": 1}, {"size": 0}) == []


def test_what_did_not_change_is_not_asked_again() -> None:
    schema = spec({"a": {**INTEGER, "x-kubernetes-validations": [{"rule": "self > 10"}]}, "b": INTEGER})
    assert faults(schema, {"a": 1, "b": 2}, {"a": 1, "b": 1}) == []
    assert faults(schema, {"a": 2, "b": 2}, {"a": 1, "b": 1}) == ['spec.a: Invalid value: "integer": failed rule: self > 10']


def test_items_of_keyed_lists_are_compared_by_key() -> None:
    item = {
        "type": "object",
        "properties": {"name": STRING, "v": INTEGER},
        "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "went down"}],
    }
    schema = spec(
        {"l": {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}}
    )
    old = {"l": [{"name": "a", "v": 1}, {"name": "b", "v": 5}]}
    assert faults(schema, {"l": [{"name": "b", "v": 4}, {"name": "a", "v": 2}, {"name": "c", "v": 0}]}, old) == [
        'spec.l[0]: Invalid value: "object": went down'
    ]


def test_a_rule_that_cannot_be_evaluated_says_why() -> None:
    schema = spec({"a": INTEGER, "l": {"type": "array", "items": INTEGER}}, {"rule": "self.a == 1"}, {"rule": "self.l[3] == 1"})
    assert faults(schema, {"l": [1]}) == [
        'spec: Invalid value: "object": no such key: a evaluating rule: self.a == 1',
        'spec: Invalid value: "object": index out of bounds: 3 evaluating rule: self.l[3] == 1',
    ]


def test_values_have_the_types_of_their_schema() -> None:
    schema = spec(
        {
            "ratio": {"type": "number"},
            "at": {**STRING, "format": "date-time"},
            "wait": {**STRING, "format": "duration"},
            "a-b": STRING,
            "namespace": STRING,
            "port": {"x-kubernetes-int-or-string": True},
        },
        {"rule": "self.ratio / 2.0 == 1.0"},
        {"rule": "self.at > timestamp('2020-01-01T00:00:00Z') && self.wait == duration('90s')"},
        {"rule": "self.a__dash__b == 'x' && self.__namespace__ == 'n'"},
        {"rule": "type(self.port) == string ? self.port.startsWith('h') : self.port > 0"},
    )
    new = {"ratio": 2, "at": "2026-01-01T00:00:00Z", "wait": "1m30s", "a-b": "x", "namespace": "n", "port": "http"}
    assert faults(schema, new) == []
    assert faults(schema, {**new, "port": 80}) == []


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("quantity('1.5Gi').isGreaterThan(quantity('1Gi'))", True),
        ("quantity('1').add(quantity('500m')) == quantity('1500m')", True),
        ("[1, 2, 3].sum() == 6 && [1, 3].isSorted() && ['b'].indexOf('a') == -1", True),
        ("'a1b22'.findAll('[0-9]+') == ['1', '22']", True),
        ("url('https://h:8443/p?q=1').getPort() == '8443' && isURL('/x') && !isURL('x')", True),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3') && ip('::1').isLoopback() && !isIP('1.2')", True),
        ("semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').isLessThan(semver('1.0.0'))", True),
        ("'%s has %d'.format(['x', 2]) == 'x has 2'", True),
        ("{'a': 1}[?'b'].orValue(7) == 7", True),
        ("sets.contains([1, 2], [2]) && sets.equivalent([1], [1, 1]) && !sets.intersects([1], [2])", True),
        ("[1, [2, [3]]].flatten(2).slice(1, 3) == [2, 3] && [2, 1, 2].distinct().sort() == lists.range(3).slice(1, 3)", True),
        ("!format.dns1123Label().validate('a').hasValue() && format.uuid().validate('x').hasValue()", True),
        ("format.named('dns1123Label').value().validate('A').value().size() == 1 && !format.named('x').hasValue()", True),
        ("[1, 2].all(i, v, v == i + 1) && {'a': 1}.exists(k, v, k == 'a' && v == 1) && [2, 2].existsOne(i, v, i == 1)", True),
        ("[1, 2, 3].transformList(i, v, i > 0, v * 2) == [4, 6]", True),
        ("{'a': 1, 'b': 2}.transformMap(k, v, k != 'a', v + 1) == {'b': 3}", True),
        ("[[1, 2], [3]].all(i, row, row.all(j, v, v > j)) && ['x.all(i, v, '].all(i, v, v.startsWith('x'))", True),
    ],
)
def test_kubernetes_functions(expression: str, value: Any) -> None:
    assert compile_expression(expression, ()).evaluate({}) == value


def test_functions_say_what_they_cannot_read() -> None:
    with pytest.raises(EvaluationError, match="unable to parse IP"):
        compile_expression("ip('x')", ()).evaluate({})


def test_names_and_paths() -> None:
    assert [escape(name) for name in ("a", "in", "a-b", "a.b", "x/y", "a__b", "1a")] == [
        "a", "__in__", "a__dash__b", "a__dot__b", "x__slash__y", "a__underscores__b", "",
    ]  # fmt: skip
    schema = {"properties": {"a": {"additionalProperties": STRING}, "b.c": STRING}}
    assert resolve(".a['k']", schema)[0] == "a[k]"
    assert resolve("['b.c']", schema)[0] == "b.c"
    with pytest.raises(BadPath, match="does not refer to a valid field"):
        resolve(".z", schema)


def _definition(schema: dict[str, Any]) -> list[str]:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "ws", "singular": "w", "kind": "W", "listKind": "WList"}
    spec = {"group": "e.x", "scope": "Namespaced", "names": names, "versions": [version], "conversion": {"strategy": "None"}}
    errors: list[Any] = []
    definition(errors, {"metadata": {"name": "ws.e.x"}, "spec": spec})
    return [str(error) for error in errors]


AT = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]"


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"rule": ""}, f"{AT}.rule: Required value: rule is not specified"),
        ({"rule": "true", "reason": "Foo"}, f'{AT}.reason: Unsupported value: "Foo": supported values: "FieldValueDuplicate", '
         '"FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"'),
        ({"rule": "true", "fieldPath": ".zz"}, f'{AT}.fieldPath: Invalid value: ".zz": must be a valid path'),
        ({"rule": "true", "message": "a\nb"}, f'{AT}.message: Invalid value: "a\\nb": must not contain line breaks'),
        (
            {"rule": "self.zz > 1"},
            f'{AT}.rule: Invalid value: {{"Rule":"self.zz \\u003e 1","Message":"","MessageExpression":"","Reason":null,"FieldPath":"",'
            '"OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:5: undefined field \'zz\'\n | self.zz > 1\n | ....^',
        ),
        (
            {"rule": "self.a"},
            f'{AT}.rule: Invalid value: {{"Rule":"self.a","Message":"","MessageExpression":"","Reason":null,"FieldPath":"",'
            '"OptionalOldSelf":null}: cel expression must evaluate to a bool',
        ),
        (
            {"rule": "true", "optionalOldSelf": True},
            f"{AT}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
        ),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_are_refused_with_the_definition(rule: dict[str, Any], fault: str) -> None:
    assert _definition(spec({"a": {**INTEGER}}, rule)) == [fault]


def test_list_and_map_types_must_fit() -> None:
    listed = {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object", "properties": {"n": STRING}}}
    path = "spec.validation.openAPIV3Schema.properties[l]"
    assert _definition({"type": "object", "properties": {"l": listed}}) == [
        f"{path}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"
    ]
    assert _definition({"type": "object", "properties": {"l": {**listed, "x-kubernetes-list-map-keys": ["n"]}}}) == [
        f"{path}.items.properties[n].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be "
        "a required property"
    ]


def _gateway_faults(kind: str, spec: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    found = next(d for d in gateway.definitions() if d["spec"]["names"]["kind"] == kind)
    schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    errors: list[Any] = []
    definition(errors, found)
    assert errors == []
    whole: dict[str, Any] = {"spec": spec}
    crd_values.apply_defaults(schema, whole)
    before = rules.ABSENT if old is None else {"spec": old}
    return [str(fault) for fault in rules.evaluate(rules.tree_of(schema, root=True), whole, before)]


def test_gateway_api_has_its_own_rules() -> None:
    backend = {"name": "web"}
    route = {"rules": [{"matches": [{"path": {"type": "Exact", "value": "x//y"}}], "backendRefs": [backend]}]}
    assert _gateway_faults("HTTPRoute", route) == [
        "spec.rules[0].matches[0].path: Invalid value: \"object\": value must be an absolute path and start with '/' when type one of "
        "['Exact', 'PathPrefix']",
        "spec.rules[0].matches[0].path: Invalid value: \"object\": must not contain '//' when type one of ['Exact', 'PathPrefix']",
        'spec.rules[0].backendRefs[0]: Invalid value: "object": Must have port for Service reference',
    ]
    assert _gateway_faults("HTTPRoute", {"rules": [{"backendRefs": [{**backend, "port": 80}]}]}) == []
    filters = {
        "filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}],
        "backendRefs": [{**backend, "port": 80}],
    }
    assert _gateway_faults("HTTPRoute", {"rules": [filters]}) == [
        'spec.rules[0]: Invalid value: "object": RequestRedirect filter must not be used together with backendRefs'
    ]
    listener = {"name": "a", "port": 80, "protocol": "HTTP"}
    assert _gateway_faults(
        "Gateway", {"gatewayClassName": "x", "listeners": [listener, {**listener, "tls": {}, "hostname": "h.x"}]}
    ) == [
        "spec.listeners: Invalid value: \"array\": tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
        'spec.listeners: Invalid value: "array": Listener name must be unique within the Gateway',
        'spec.listeners[1].tls: Invalid value: "object": certificateRefs or options must be specified when mode is Terminate',
    ]
    assert _gateway_faults("GatewayClass", {"controllerName": "a.b/c"}, {"controllerName": "a.b/d"}) == [
        'spec.controllerName: Invalid value: "string": Value is immutable'
    ]
