"""Promises of Kubernetes' conformance tests that only a real server can show."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from halab.cluster.client.client import Client
from halab.cluster.kube.kinds import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    EVENTS_V1,
    FLOW_SCHEMAS,
    PRIORITY_LEVELS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    VALIDATING_ADMISSION_POLICIES,
    Kind,
)

Obj = dict[str, Any]
JSON = {"Content-Type": "application/json"}
RULE = {
    "subjects": [{"kind": "User", "user": {"name": "nobody"}}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}


async def condition(client: Client, kind: Kind, name: str, status: str) -> Obj:
    async with asyncio.timeout(10):
        async for _, obj in client.watch(kind, None, field_selector=f"metadata.name={name}"):
            for each in obj.get("status", {}).get("conditions") or ():
                if each["type"] == "Dangling" and each["status"] == status:
                    return dict(each)
    raise AssertionError("the watch ended")


async def test_every_answer_names_its_flow(client: Client) -> None:
    uids = {
        header: (await client.get(kind, "exempt"))["metadata"]["uid"]
        for header, kind in (
            ("x-kubernetes-pf-flowschema-uid", FLOW_SCHEMAS),
            ("x-kubernetes-pf-prioritylevel-uid", PRIORITY_LEVELS),
        )
    }
    _, headers, _ = await client.request("GET", "/api/v1/namespaces")
    found = {name.lower(): value for name, value in headers.items()}
    assert {name: found.get(name) for name in uids} == uids


async def test_every_answer_names_its_entry_in_the_audit_log_as_the_client_did_if_it_did(client: Client) -> None:
    _, headers, _ = await client.request("GET", "/api/v1/namespaces/nope", headers={"Audit-ID": "mine"})
    assert {name.lower(): value for name, value in headers.items()}["audit-id"] == "mine"
    made = set()
    for _ in range(2):
        _, headers, _ = await client.request("GET", "/version")
        made.add({name.lower(): value for name, value in headers.items()}["audit-id"])
    assert len(made) == 2


async def test_a_flow_schema_tells_whether_its_level_exists_and_mandatory_ones_come_back(client: Client) -> None:
    spec = {"matchingPrecedence": 5000, "priorityLevelConfiguration": {"name": "later"}, "rules": [RULE]}
    await client.create(FLOW_SCHEMAS, {"metadata": {"name": "mine"}, "spec": spec})
    assert (await condition(client, FLOW_SCHEMAS, "mine", "True"))["reason"] == "NotFound"
    limited = {"limitResponse": {"type": "Reject"}}
    await client.create(PRIORITY_LEVELS, {"metadata": {"name": "later"}, "spec": {"type": "Limited", "limited": limited}})
    assert (await condition(client, FLOW_SCHEMAS, "mine", "False"))["reason"] == "Found"
    await client.delete(FLOW_SCHEMAS, "catch-all")
    assert await condition(client, FLOW_SCHEMAS, "catch-all", "False")


async def test_a_review_cannot_be_had_as_a_table(client: Client) -> None:
    body = orjson.dumps({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}})
    headers = JSON | {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    code, _, _ = await client.request("POST", SELF_SUBJECT_ACCESS_REVIEWS.path(), body=body, headers=headers)
    assert code == 406


async def test_options_of_another_kind_delete_nothing(client: Client) -> None:
    await client.create(CONFIG_MAPS, {"metadata": {"name": "kept", "namespace": "default"}})
    path = CONFIG_MAPS.path("default", "kept")
    code, _, answer = await client.request("DELETE", path, body=b'{"kind":"ConfigMap","apiVersion":"v1"}', headers=JSON)
    assert code == 400 and orjson.loads(answer)["message"].startswith('no kind "ConfigMap" is registered for version "v1"')
    assert await client.get(CONFIG_MAPS, "kept", "default")
    await client.request("DELETE", path, body=b'{"kind":"DeleteOptions","apiVersion":"apps/v1"}', headers=JSON)


async def test_owned_fields_in_an_unknown_notation_are_left_out(client: Client) -> None:
    entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"k:{bad": {}}}
    meta = {"name": "odd", "namespace": "default", "managedFields": [entry]}
    made = await client.create(CONFIG_MAPS, {"metadata": meta, "data": {"a": "b"}})
    assert [each["manager"] for each in made["metadata"]["managedFields"]] != ["m"]
    assert all("k:{bad" not in each["fieldsV1"] for each in made["metadata"]["managedFields"])


async def test_stored_custom_resources_are_seen_by_the_schema_of_today(client: Client) -> None:
    schema: Obj = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    names = {"plural": "olds", "singular": "old", "kind": "Old", "listKind": "OldList"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": "read.io", "scope": "Namespaced", "names": names, "versions": [version]}
    made = await client.create(CUSTOM_RESOURCE_DEFINITIONS, {"metadata": {"name": "olds.read.io"}, "spec": spec})
    async with asyncio.timeout(10):
        async for _, obj in client.watch(CUSTOM_RESOURCE_DEFINITIONS, None, field_selector="metadata.name=olds.read.io"):
            if any(each["type"] == "Established" for each in obj["status"].get("conditions") or ()):
                break
    olds = Kind("read.io", "v1", "Old", "olds", "old", True, custom=True)
    await client.create(olds, {"metadata": {"name": "x", "namespace": "default"}, "a": "1"})
    assert made["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == schema
    change = [
        {**version, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"b": {"type": "string", "default": "2"}}}}}
    ]
    await client.patch(CUSTOM_RESOURCE_DEFINITIONS, "olds.read.io", None, {"spec": {"versions": change}})
    seen = await client.get(olds, "x", "default")
    assert (seen.get("a"), seen["b"]) == (None, "2")
    listed, _ = await client.list(olds, "default")
    assert [each["b"] for each in listed] == ["2"]


async def test_a_policy_says_that_it_was_checked(client: Client) -> None:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "object.spec.replicas > 1"}]}
    await client.create(VALIDATING_ADMISSION_POLICIES, {"metadata": {"name": "checked"}, "spec": spec})
    async with asyncio.timeout(10):
        async for _, obj in client.watch(VALIDATING_ADMISSION_POLICIES, None, field_selector="metadata.name=checked"):
            if "typeChecking" in (obj.get("status") or {}):
                assert obj["status"]["observedGeneration"] == obj["metadata"]["generation"]
                break


async def test_events_of_both_groups_are_selected_by_the_same_fields(client: Client) -> None:
    regarding = {"namespace": "default", "kind": "Pod", "name": "told"}
    event = {
        "metadata": {"name": "e", "namespace": "default"},
        "regarding": regarding,
        "eventTime": "2020-01-01T00:00:00.000000Z",
        "action": "Do",
        "reason": "Test",
        "reportingController": "mine",
        "reportingInstance": "i",
        "type": "Normal",
    }
    await client.create(EVENTS_V1, event)
    for kind, selector in (
        (EVENTS_V1, "reportingController=mine"),
        (EVENTS_V1, "regarding.name=told"),
        (EVENTS, "reportingComponent=mine"),
        (EVENTS, "source=mine"),
        (EVENTS, "involvedObject.name=told"),
    ):
        found, _ = await client.list(kind, "default", field_selector=selector)
        assert [each["metadata"]["name"] for each in found] == ["e"], selector
