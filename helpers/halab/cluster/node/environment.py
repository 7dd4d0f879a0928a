"""The environment of a container: service variables, envFrom, env, in that order of precedence, with references expanded."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Protocol

from halab.cluster.kube.types import Obj

from .expansion import expand
from .fields import field_value, resource_value
from .records import specs_of


class ConfigError(Exception):
    """The container cannot be configured: kubelet's CreateContainerConfigError, with its message."""


class Lookup(Protocol):
    """Where configuration comes from; None when the object does not exist."""

    async def config_map(self, namespace: str, name: str) -> Obj | None: ...

    async def secret(self, namespace: str, name: str) -> Obj | None: ...


def service_variables(services: Iterable[Obj], namespace: str, *, links: bool) -> dict[str, str]:
    """``NAME_SERVICE_HOST`` and Docker's older ``NAME_PORT_...`` for each Service with an address.

    ``links`` false leaves only the API server's (spec.enableServiceLinks).
    """
    chosen: dict[str, Obj] = {}
    for service in services:
        meta, spec = service["metadata"], service["spec"]
        if spec.get("clusterIP") in (None, "", "None"):
            continue
        master = meta["namespace"] == "default" and meta["name"] == "kubernetes"
        if master:
            chosen.setdefault(meta["name"], service)
        elif meta["namespace"] == namespace and links:
            chosen[meta["name"]] = service
    variables: dict[str, str] = {}
    for name, service in chosen.items():
        prefix = name.upper().replace("-", "_")
        host, ports = service["spec"]["clusterIP"], service["spec"].get("ports") or []
        if not ports:
            continue
        variables[f"{prefix}_SERVICE_HOST"] = host
        variables[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                variables[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
        for index, port in enumerate(ports):
            protocol = port.get("protocol", "TCP")
            url = f"{protocol.lower()}://{host}:{port['port']}"
            if index == 0:
                variables[f"{prefix}_PORT"] = url
            legacy = f"{prefix}_PORT_{port['port']}_{protocol}"
            variables |= {
                legacy: url,
                f"{legacy}_PROTO": protocol.lower(),
                f"{legacy}_PORT": str(port["port"]),
                f"{legacy}_ADDR": host,
            }
    return variables


def text_of(data: str) -> str:
    """The text of a Secret's value."""
    return base64.b64decode(data).decode(errors="surrogateescape")


async def build(
    pod: Obj,
    container: Obj,
    lookup: Lookup,
    services: Iterable[Obj],
    *,
    address: str,
    host_address: str,
    allocatable: dict[str, str],
) -> dict[str, str]:
    """All variables that Kubernetes sets. Raises ConfigError for a missing object or key that is not optional."""
    namespace = pod["metadata"]["namespace"]
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        for key, value in (await _from_source(source, namespace, lookup)).items():
            result[source.get("prefix", "") + key] = value
    service_vars = service_variables(services, namespace, links=pod["spec"].get("enableServiceLinks", True))
    known: dict[str, str] = dict(result)
    for variable in container.get("env") or ():
        name = variable["name"]
        source = variable.get("valueFrom")
        if source:
            found = await _from_value(pod, container, source, lookup, address, host_address, allocatable)
            if found is None:
                continue
            value = found
        else:
            value = expand(variable.get("value", ""), {**service_vars, **known})
        known[name] = result[name] = value
    return {**service_vars, **result}


async def _from_source(source: Obj, namespace: str, lookup: Lookup) -> Mapping[str, str]:
    if reference := source.get("configMapRef"):
        found = await lookup.config_map(namespace, reference["name"])
        if found is None:
            if reference.get("optional"):
                return {}
            raise ConfigError(f'configmap "{reference["name"]}" not found')
        return dict(found.get("data") or {})
    reference = source["secretRef"]
    found = await lookup.secret(namespace, reference["name"])
    if found is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'secret "{reference["name"]}" not found')
    return {key: text_of(value) for key, value in (found.get("data") or {}).items()}


async def _from_value(
    pod: Obj, container: Obj, source: Obj, lookup: Lookup, address: str, host_address: str, allocatable: dict[str, str]
) -> str | None:
    """The value, or None for an optional one that is not there."""
    namespace = pod["metadata"]["namespace"]
    try:
        if reference := source.get("fieldRef"):
            return field_value(pod, reference["fieldPath"], address=address, host_address=host_address)
        if reference := source.get("resourceFieldRef"):
            asked = specs_of(pod).get(reference.get("containerName", ""), container)
            return resource_value(asked, reference["resource"], str(reference.get("divisor", "")), allocatable)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if reference := source.get("configMapKeyRef"):
        found = await lookup.config_map(namespace, reference["name"])
        kind, label = "ConfigMap", "configmap"
        data = (found or {}).get("data") or {}
    elif reference := source.get("secretKeyRef"):
        found = await lookup.secret(namespace, reference["name"])
        kind, label = "Secret", "secret"
        data = {key: text_of(value) for key, value in ((found or {}).get("data") or {}).items()}
    else:
        raise ConfigError("unknown source of a variable")
    name, key = reference["name"], reference["key"]
    if found is not None and key in data:
        return str(data[key])
    if reference.get("optional"):
        return None
    if found is None:
        raise ConfigError(f'{label} "{name}" not found')
    raise ConfigError(f"couldn't find key {key} in {kind} {namespace}/{name}")
