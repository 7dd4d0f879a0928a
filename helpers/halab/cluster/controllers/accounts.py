"""What every namespace has: the ServiceAccount ``default`` and the ConfigMap ``kube-root-ca.crt``, made again when deleted or changed."""

from __future__ import annotations

from typing import ClassVar

from halab.cluster.client import Key
from halab.cluster.controllers.actions import Action, Create, Update
from halab.cluster.controllers.base import Controller
from halab.cluster.kube.kinds import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS, Kind
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

ROOT_CA = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal "
    "service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)


def account_plan(namespace: Obj, existing: Obj | None) -> list[Action]:
    if existing is not None or (namespace.get("status") or {}).get("phase") == "Terminating":
        return []
    meta = {"name": "default", "namespace": namespace["metadata"]["name"]}
    return [Create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})]


def root_ca_plan(namespace: Obj, existing: Obj | None, certificate: str) -> list[Action]:
    """``certificate`` is the PEM text of the cluster's CA."""
    if (namespace.get("status") or {}).get("phase") == "Terminating":
        return []
    annotations = {"kubernetes.io/description": DESCRIPTION}
    if existing is None:
        meta = {"name": ROOT_CA, "namespace": namespace["metadata"]["name"], "annotations": annotations}
        return [Create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"ca.crt": certificate}})]
    kept = existing["metadata"].get("annotations") or {}
    if existing.get("data") == {"ca.crt": certificate} and kept.get("kubernetes.io/description"):
        return []
    meta = {**existing["metadata"], "annotations": kept | annotations}
    return [Update(CONFIG_MAPS, {**existing, "metadata": meta, "data": {"ca.crt": certificate}})]


class _PerNamespace(Controller):
    """One object of a fixed name in every namespace."""

    kind: ClassVar[Kind]
    object_name: ClassVar[str]

    def setup(self) -> None:
        self.follow(NAMESPACES)
        self.mine = self.informers(self.kind, field_selector=f"metadata.name={self.object_name}")
        self.mine.add_handler(self._mine_changed)

    def _mine_changed(self, old: Obj | None, new: Obj | None) -> None:
        meta = (new or old or {})["metadata"]
        if old is not None:
            self.queue.add(("", meta["namespace"]))

    def plan(self, namespace: Obj, existing: Obj | None) -> list[Action]:
        raise NotImplementedError

    async def reconcile(self, key: Key) -> None:
        namespace = self.informers(NAMESPACES).get(*key)
        if namespace is None:
            return
        try:
            await self.apply(self.plan(namespace, self.mine.get(key[1], self.object_name)))
        except ApiError as exc:
            if exc.reason != "AlreadyExists":
                raise


class ServiceAccountController(_PerNamespace):
    name = "service-account-controller"
    kind, object_name = SERVICE_ACCOUNTS, "default"

    def plan(self, namespace: Obj, existing: Obj | None) -> list[Action]:
        return account_plan(namespace, existing)


class RootCaController(_PerNamespace):
    """Without a known CA (a foreign cluster over plain HTTP) there is nothing to publish."""

    name = "root-ca-certificate-publisher"
    kind, object_name = CONFIG_MAPS, ROOT_CA

    def plan(self, namespace: Obj, existing: Obj | None) -> list[Action]:
        return root_ca_plan(namespace, existing, self.context.root_ca) if self.context.root_ca else []
