"""Bodies: what is accepted, what is said of the rest."""

from __future__ import annotations

import pytest
from making import CONTAINER, body, read

from halab.cluster.kube import decode, kinds
from halab.cluster.kube.kinds import CONFIG_MAPS, DEPLOYMENTS, EVENTS, NODES, PODS, SECRETS, Kind
from halab.cluster.kube.schema import node_for
from halab.cluster.kube.status import ApiError


def refusal(kind: Kind, text: str, mode: str = "Strict", content_type: str = "application/json") -> str:
    with pytest.raises(ApiError) as caught:
        decode.decode(text.encode(), content_type, kind, node_for(kind), mode)
    assert caught.value.code in (400, 415)
    return caught.value.message


def warned(kind: Kind, text: str, content_type: str = "application/json") -> list[str]:
    return decode.decode(text.encode(), content_type, kind, node_for(kind), "Warn")[1]


def test_empty_values_vanish_and_what_is_always_written_appears() -> None:
    obj = read(
        PODS, body(PODS, spec={"containers": [CONTAINER | {"command": [], "env": [{"name": "A", "value": ""}]}], "nodeName": ""})
    )
    assert obj["spec"] == {"containers": [CONTAINER | {"env": [{"name": "A"}], "resources": {}}]}
    assert obj["status"] == {}


def test_pointers_keep_an_explicit_zero() -> None:
    obj = read(DEPLOYMENTS, body(DEPLOYMENTS, spec={"replicas": 0, "paused": False, "selector": {}, "template": {}}))
    assert obj["spec"]["replicas"] == 0 and "paused" not in obj["spec"]
    assert obj["spec"]["template"] == {"metadata": {}, "spec": {"containers": None}}


def test_times_without_omitempty_are_null() -> None:
    obj = read(EVENTS, body(EVENTS, involvedObject={}))
    assert obj["firstTimestamp"] is None and obj["eventTime"] is None and obj["source"] == {}


def test_nulls_are_as_if_left_out() -> None:
    obj = read(
        PODS,
        '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","creationTimestamp":null,"labels":null},"spec":{"containers":[]},"status":null}',
    )
    assert obj["metadata"] == {"name": "a"} and obj["status"] == {}


def test_quantities_times_and_base64_get_their_one_spelling() -> None:
    node = read(NODES, body(NODES, status={"capacity": {"memory": "1024Mi", "cpu": 1.5}, "conditions": [
        {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-02T04:04:05.7+01:00"}]}))  # fmt: skip
    assert node["status"]["capacity"] == {"memory": "1Gi", "cpu": "1500m"}
    assert node["status"]["conditions"][0]["lastHeartbeatTime"] == "2026-01-02T03:04:05Z"
    event = read(EVENTS, body(EVENTS, involvedObject={}, eventTime="2026-01-02T03:04:05Z"))
    assert event["eventTime"] == "2026-01-02T03:04:05.000000Z"
    assert read(SECRETS, body(SECRETS, data={"a": "Yg==\n"}))["data"] == {"a": "Yg=="}


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        (DEPLOYMENTS, '{"replicas":"three"}', "string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (DEPLOYMENTS, '{"replicas":1.5}', "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (DEPLOYMENTS, '{"replicas":99999999999}', "number 99999999999 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (DEPLOYMENTS, '{"paused":"yes"}', "string into Go struct field DeploymentSpec.spec.paused of type bool"),
        (DEPLOYMENTS, '{"selector":[]}', "array into Go struct field DeploymentSpec.spec.selector of type v1.LabelSelector"),
        (PODS, '{"containers":{}}', "object into Go struct field PodSpec.spec.containers of type []v1.Container"),
        (PODS, '{"containers":[{"image":5}]}', "number into Go struct field Container.spec.containers.image of type string"),
        (PODS, '{"containers":[{"imagePullPolicy":true}]}', "bool into Go struct field Container.spec.containers.imagePullPolicy of type v1.PullPolicy"),
        (PODS, '{"nodeSelector":{"a":1}}', "number into Go struct field PodSpec.spec.nodeSelector of type string"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_named_as_go_names_it(kind: Kind, spec: str, message: str) -> None:
    text = f'{{"apiVersion":"{kind.api_version}","kind":"{kind.kind}","spec":{spec}}}'
    prefix = f'{kind.kind} in version "v1" cannot be handled as a {kind.kind}: json: cannot unmarshal '
    assert refusal(kind, text) == prefix + message


def test_values_with_their_own_decoders_say_what_they_want() -> None:
    text = '{"spec":{"containers":[{"resources":{"limits":{"cpu":"fast"}}}]}}'
    assert refusal(PODS, text).endswith(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )
    assert refusal(EVENTS, '{"firstTimestamp":"soon"}').endswith(
        'parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"'
    )
    assert refusal(SECRETS, '{"data":{"a":"!"}}').endswith("illegal base64 data at input byte 0")
    assert refusal(kinds.SERVICES, '{"spec":{"ports":[{"targetPort":true}]}}').endswith(
        "json: cannot unmarshal bool into Go value of type int32"
    )


UNKNOWN = (
    '{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"name":"a","tags":[],"ports":[{"host":1}]}],"replica":1},"colour":1}'
)
PATHS = ["spec.containers[0].tags", "spec.containers[0].ports[0].host", "spec.replica", "colour"]


def test_unknown_fields_are_named_in_document_order() -> None:
    named = [f'unknown field "{path}"' for path in PATHS]
    assert warned(PODS, UNKNOWN) == named
    assert refusal(PODS, UNKNOWN).endswith(f"strict decoding error: {', '.join(named)}")


def test_unknown_fields_are_dropped() -> None:
    obj = read(PODS, UNKNOWN, "Ignore")
    assert "colour" not in obj and obj["spec"]["containers"][0] == {"name": "a", "ports": [{"containerPort": 0}], "resources": {}}


def test_the_last_of_duplicate_fields_wins_and_is_warned_of() -> None:
    text = '{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"1","a":"2"},"metadata":{"name":"x","name":"y"}}'
    assert warned(CONFIG_MAPS, text) == ['duplicate field "data.a"', 'duplicate field "metadata.name"']
    obj = read(CONFIG_MAPS, text, "Ignore")
    assert obj["data"] == {"a": "2"} and obj["metadata"] == {"name": "y"}


@pytest.mark.parametrize(
    "data",
    ['{"a":"\\":"}', '{"a\\\\":"b"}', '{"a" : "b", "c"\t: "d"}', '{"a":":x","b":"\\"a\\":1"}', '{"\\"":"x"}'],
)
def test_quotes_and_colons_in_strings_are_no_duplicates(data: str) -> None:
    assert warned(CONFIG_MAPS, f'{{"apiVersion":"v1","kind":"ConfigMap","data":{data}}}') == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "unexpected end of JSON input (<empty>)"),
        ('{"a": ', 'unexpected end of JSON input ({"a": )'),
        ('{"a": x}', """invalid character 'x' looking for beginning of value ({"a": x})"""),
        ('{"a": 1]', """invalid character ']' after object key:value pair ({"a": 1])"""),
        ("{} x", "invalid character 'x' after top-level value ({} x)"),
    ],
)
def test_malformed_json_is_refused_with_gos_words(text: str, why: str) -> None:
    prefix = "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
    assert refusal(CONFIG_MAPS, text) == prefix + why


def test_yaml_is_read_as_kubernetes_reads_it() -> None:
    text = "data:\n  port: 22:22\n  mode: '0644'\n  day: 2026-01-02\n  exponent: 1e3x\n"
    obj, _ = decode.decode(text.encode(), "application/yaml", CONFIG_MAPS, node_for(CONFIG_MAPS), "Strict")
    assert obj["data"] == {"port": "22:22", "mode": "0644", "day": "2026-01-02", "exponent": "1e3x"}
    number = refusal(CONFIG_MAPS, "data:\n  n: 1e3\n", content_type="application/yaml")
    assert number.endswith("cannot unmarshal number into Go struct field ConfigMap.data of type string")
    octal = "kind: Pod\nspec:\n  containers: []\n  activeDeadlineSeconds: 010\n"
    assert decode.decode(octal.encode(), "application/yaml", PODS, node_for(PODS))[0]["spec"]["activeDeadlineSeconds"] == 8
    twice = "data:\n  a: x\n  a: z\n"
    assert warned(CONFIG_MAPS, twice, "application/yaml") == ['yaml: unmarshal errors:\n  line 3: key "a" already set in map']


def test_kind_and_version_must_be_those_of_the_path() -> None:
    assert refusal(CONFIG_MAPS, '{"apiVersion":"v1","kind":"Secret"}') == (
        'Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion'
    )
    assert refusal(DEPLOYMENTS, '{"apiVersion":"apps/v1beta1","kind":"Deployment"}') == (
        "the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)"
    )
    assert 'no kind "Thing" is registered for version "v1"' in refusal(CONFIG_MAPS, '{"apiVersion":"v1","kind":"Thing"}')
    assert read(CONFIG_MAPS, '{"metadata":{"name":"a"}}')["kind"] == "ConfigMap"


def test_other_body_types_are_415() -> None:
    assert refusal(CONFIG_MAPS, "a,b", content_type="text/csv").startswith("the body of the request was in an unknown format")


def test_strict_faults_are_kept_for_patches() -> None:
    with pytest.raises(decode.StrictError) as caught:
        decode.decode_object({"metadata": {}, "colour": "red"}, CONFIG_MAPS, node_for(CONFIG_MAPS), "Strict")
    assert caught.value.faults == ['unknown field "colour"']
