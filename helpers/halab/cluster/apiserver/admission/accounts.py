"""ServiceAccount: every pod has an account, and (unless refused) a volume with that account's token."""

from __future__ import annotations

import secrets
from typing import Any

from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.apiserver.names import SUFFIX_LETTERS
from halab.cluster.kube import kinds

Obj = dict[str, Any]
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
EXPIRATION_SECONDS = 3607  # an hour and the seven seconds by which Kubernetes recognises its own tokens
MIRROR = "kubernetes.io/config.mirror"


def account_of(pod: Obj) -> str:
    spec = pod.get("spec") or {}
    return str(spec.get("serviceAccountName") or spec.get("serviceAccount") or "default")


def mutate(attributes: Attributes) -> None:
    if not attributes.is_(kinds.PODS, "CREATE"):
        return
    pod = attributes.obj
    if MIRROR in (pod["metadata"].get("annotations") or {}):
        return
    spec = pod["spec"]
    spec["serviceAccountName"] = spec["serviceAccount"] = name = account_of(pod)
    account = attributes.find(kinds.SERVICE_ACCOUNTS, name, attributes.namespace)
    if account is None:
        raise attributes.forbidden(
            f'error looking up service account {attributes.namespace}/{name}: serviceaccount "{name}" not found'
        )
    if _wants_token(pod, account):
        _mount_token(spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(reference) for reference in account["imagePullSecrets"]]


def _wants_token(pod: Obj, account: Obj) -> bool:
    own = pod["spec"].get("automountServiceAccountToken")
    if own is not None:
        return bool(own)
    return account.get("automountServiceAccountToken") is not False


def _mount_token(spec: Obj) -> None:
    volume = next((v["name"] for v in spec.get("volumes") or () if str(v.get("name", "")).startswith(VOLUME_PREFIX)), "")
    name = volume or VOLUME_PREFIX + "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))
    needed = False
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            mounts = container.get("volumeMounts") or []
            if not any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
                needed = True
    if needed and not volume:
        spec["volumes"] = [*(spec.get("volumes") or ()), _token_volume(name)]


def _token_volume(name: str) -> Obj:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": EXPIRATION_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 420}}
