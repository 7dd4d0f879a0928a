"""The files of configMap, secret, downwardAPI and projected volumes, from the objects they name."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import Protocol

from halab.cluster.kube.types import Obj

from .atomic import File
from .fields import field_value, resource_value
from .records import specs_of


class VolumeError(Exception):
    """The volume cannot be set up (yet): the text that follows ``MountVolume.SetUp failed for volume ... :``."""


class Source(Protocol):
    """Where the content comes from; None when an object does not exist."""

    async def config_map(self, namespace: str, name: str) -> Obj | None: ...

    async def secret(self, namespace: str, name: str) -> Obj | None: ...

    async def token(self, pod: Obj, audience: str, seconds: int) -> tuple[str, float]: ...


@dataclass(frozen=True, slots=True)
class Context:
    pod: Obj
    address: str
    host_address: str
    allocatable: dict[str, str]


@dataclass(slots=True)
class Files:
    """``refresh_at`` is when a token in it should be replaced (Unix seconds), 0 for never."""

    files: dict[str, File]
    refresh_at: float = 0.0


def _picked(data: dict[str, bytes], source: Obj, default_mode: int, kind: str, namespace: str, name: str) -> dict[str, File]:
    items = source.get("items")
    if not items:
        return {key: File(value, default_mode) for key, value in data.items()}
    found = {}
    for item in items:
        if item["key"] not in data:
            if source.get("optional"):
                continue
            raise VolumeError(f"{kind} key: {item['key']}")
        found[item["path"]] = File(data[item["key"]], item.get("mode", default_mode))
    return found


async def _config_map(context: Context, lookup: Source, source: Obj, mode: int) -> dict[str, File]:
    namespace, name = context.pod["metadata"]["namespace"], source.get("name", "")
    found = await lookup.config_map(namespace, name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'configmap "{name}" not found')
    data = {key: value.encode(errors="surrogateescape") for key, value in (found.get("data") or {}).items()}
    data |= {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    return _picked(data, source, mode, "configmap references non-existent config", namespace, name)


async def _secret(context: Context, lookup: Source, source: Obj, mode: int) -> dict[str, File]:
    namespace, name = context.pod["metadata"]["namespace"], source.get("name") or source.get("secretName", "")
    found = await lookup.secret(namespace, name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'secret "{name}" not found')
    data = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    return _picked(data, source, mode, "references non-existent secret", namespace, name)


def _downward(context: Context, source: Obj, mode: int) -> dict[str, File]:
    found = {}
    containers = specs_of(context.pod)
    for item in source.get("items") or ():
        try:
            if reference := item.get("fieldRef"):
                text = field_value(
                    context.pod, reference["fieldPath"], address=context.address, host_address=context.host_address
                )
            else:
                reference = item["resourceFieldRef"]
                container = containers.get(reference.get("containerName", ""), {})
                text = resource_value(container, reference["resource"], str(reference.get("divisor", "")), context.allocatable)
        except ValueError as error:
            raise VolumeError(str(error)) from error
        found[item["path"]] = File(text.encode(), item.get("mode", mode))
    return found


REFRESH = 0.8  # of a token's life, as kubelet


async def files_of(context: Context, lookup: Source, volume: Obj) -> Files:
    """The files of ``volume`` (one entry of spec.volumes). Raises VolumeError."""
    if source := volume.get("configMap"):
        return Files(await _config_map(context, lookup, source, source.get("defaultMode", 0o644)))
    if source := volume.get("secret"):
        return Files(await _secret(context, lookup, source, source.get("defaultMode", 0o644)))
    if source := volume.get("downwardAPI"):
        return Files(_downward(context, source, source.get("defaultMode", 0o644)))
    projected = volume["projected"]
    mode = projected.get("defaultMode", 0o644)
    result = Files({})
    errors: list[str] = []
    for source in projected.get("sources") or ():
        try:
            await _project(result, context, lookup, source, mode)
        except VolumeError as error:
            errors.append(str(error))
    if errors:
        raise VolumeError(errors[0] if len(errors) == 1 else f"[{', '.join(dict.fromkeys(errors))}]")
    return result


async def _project(result: Files, context: Context, lookup: Source, source: Obj, mode: int) -> None:
    """Add the files of one source of a projected volume."""
    if part := source.get("configMap"):
        result.files |= await _config_map(context, lookup, part, mode)
    elif part := source.get("secret"):
        result.files |= await _secret(context, lookup, part, mode)
    elif "downwardAPI" in source:
        result.files |= _downward(context, source["downwardAPI"] or {}, mode)
    elif part := source.get("serviceAccountToken"):
        seconds = int(part.get("expirationSeconds", 3600))
        token, expires = await lookup.token(context.pod, part.get("audience", ""), seconds)
        result.files[part["path"]] = File(token.encode(), mode)
        refresh = time.time() + (expires - time.time()) * REFRESH
        result.refresh_at = min(result.refresh_at or refresh, refresh)


def references(pod: Obj) -> set[tuple[str, str]]:
    """The ConfigMaps and Secrets whose changes show in the pod's volumes: ("configmaps" | "secrets", name).

    ``kube-root-ca.crt`` is in every pod and practically never changes, so nobody watches it.
    """
    found = set()
    for volume in pod["spec"].get("volumes") or ():
        parts = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        for part in parts:
            if name := (part.get("configMap") or {}).get("name"):
                found.add(("configmaps", name))
            if (secret := part.get("secret")) and (name := secret.get("secretName") or secret.get("name")):
                found.add(("secrets", name))
    found.discard(("configmaps", "kube-root-ca.crt"))
    return found
