"""The Kubernetes API for notebooks, checks and widgets: synchronous, by kind names as one types them to kubectl.

The cluster's own async client does the work in one loop in one thread (``aio.portal``); the official ``kubernetes`` package stays free
for learners, who see it in the notebooks, without its second of import in every check.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from halab.aio.portal import portal
from halab.cluster.client.client import Client, PatchType, error_of
from halab.cluster.client.informer import Informer
from halab.cluster.kube import kinds
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.status import ApiError
from halab.errors import UsageError

Obj = dict[str, Any]
Objects = list[Obj]

GATEWAY_API = (
    Kind("gateway.networking.k8s.io", "v1", "Gateway", "gateways", "gateway", True),
    Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes", "httproute", True),
)  # custom kinds that the course uses

__all__ = ["Api", "ApiError", "Follow", "Obj", "kind_named"]


def kind_named(name: str) -> Kind:
    """``pods``, ``pod``, ``po``, ``Pod``, ``deployments.apps`` -> its kind (the preferred version)."""
    wanted, _, group = name.lower().partition(".")
    for kind in (*kinds.BUILTIN, *GATEWAY_API):
        names = {kind.plural, kind.singular, kind.kind.lower(), *kind.short_names}
        if wanted in names and (not group or group == kind.group):
            return kind
    raise UsageError(f"kind {name}", "is not known here", "see: kubectl api-resources")


class Api:
    """One cluster's API as a learner's kubeconfig grants it. ``namespace`` is the default of every call.

    Methods raise ``ApiError`` (with Kubernetes' own words) when the API says no, ``OSError`` when it does not answer.
    """

    def __init__(self, kubeconfig: Path | str, namespace: str = "default") -> None:
        self.kubeconfig, self.namespace = Path(kubeconfig), namespace
        self.client = Client.from_kubeconfig(kubeconfig, user_agent="halab-course")

    def in_namespace(self, namespace: str) -> Api:
        return Api(self.kubeconfig, namespace)

    def _place(self, kind: Kind, namespace: str | None) -> str | None:
        return (namespace or self.namespace) if kind.namespaced else None

    def get(self, kind: str, name: str, namespace: str | None = None) -> Obj:
        found = kind_named(kind)
        return portal.run(self.client.get(found, name, self._place(found, namespace)))

    def find(self, kind: str, name: str, namespace: str | None = None) -> Obj | None:
        """The object, or None where there is none."""
        try:
            return self.get(kind, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(
        self,
        kind: str,
        selector: str | None = None,
        *,
        namespace: str | None = None,
        fields: str | None = None,
        everywhere: bool = False,
    ) -> Objects:
        """``everywhere``: of all namespaces."""
        found = kind_named(kind)
        place = None if everywhere else self._place(found, namespace)
        items, _ = portal.run(self.client.list(found, place, label_selector=selector, field_selector=fields))
        return items

    def create(self, obj: Obj) -> Obj:
        found = self._kind_of(obj)
        return portal.run(self.client.create(found, obj, self._place(found, obj.get("metadata", {}).get("namespace"))))

    def apply(self, obj: Obj, manager: str = "halab") -> Obj:
        """Server-side apply, taking over fields where others own them."""
        found = self._kind_of(obj)
        meta = obj["metadata"]
        place = self._place(found, meta.get("namespace"))
        return portal.run(self.client.patch(found, meta["name"], place, obj, type="apply", field_manager=manager, force=True))

    def patch(
        self,
        kind: str,
        name: str,
        patch: Any,
        *,
        namespace: str | None = None,
        type: PatchType = "merge",
        subresource: str | None = None,
    ) -> Obj:
        found = kind_named(kind)
        return portal.run(
            self.client.patch(found, name, self._place(found, namespace), patch, type=type, subresource=subresource)
        )

    def delete(self, kind: str, name: str, *, namespace: str | None = None, grace: int | None = None) -> bool:
        """Ask for deletion; False where there was nothing to delete."""
        found = kind_named(kind)
        try:
            portal.run(
                self.client.delete(
                    found, name, self._place(found, namespace), grace_period_seconds=grace, propagation_policy="Background"
                )
            )
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    def evict(self, pod: str, *, namespace: str | None = None) -> str:
        """Ask for the pod's eviction; why that is refused (a disruption budget forbids it now), empty where it was granted or the pod is gone."""
        place = namespace or self.namespace
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": place}}
        status, _, answer = portal.run(self.client.request("POST", kinds.PODS.path(place, pod, "eviction"), body=body))
        return "" if status < 400 or status == 404 else str(error_of(status, answer))

    def log(self, pod: str, *, container: str | None = None, tail: int = 100, namespace: str | None = None) -> str:
        path = kinds.PODS.path(namespace or self.namespace, pod, "log")
        query = {"container": container, "tailLines": tail}
        status, _, body = portal.run(self.client.request("GET", path, query=query))
        return body.decode(errors="replace") if status == 200 else ""

    def wait(
        self,
        kind: str,
        done: Callable[[Objects], bool],
        timeout: float,
        *,
        namespace: str | None = None,
        selector: str | None = None,
    ) -> Objects:
        """Watch until ``done(objects)`` holds or ``timeout`` seconds are over; the objects as they then are."""
        changed = threading.Event()
        with Follow(self, [kind], lambda: changed.set(), namespace=namespace, selector=selector) as follow:
            deadline = time.monotonic() + timeout
            while True:
                changed.clear()
                objects = follow.objects(kind)
                left = deadline - time.monotonic()
                if left <= 0 or done(objects):
                    return objects
                changed.wait(left)

    @staticmethod
    def _kind_of(obj: Obj) -> Kind:
        group, _, version = obj["apiVersion"].rpartition("/")
        found = kinds.by_gvk(group, version, obj["kind"])
        if found is None:
            raise UsageError(f"{obj['apiVersion']} {obj['kind']}", "is not known here", "see: kubectl api-resources")
        return found


class Follow:
    """Live copies of some kinds' objects, kept by watches. ``changed`` is called (in the portal's thread) after every change.

    Use as a context manager, or call ``close``. It re-attaches by itself when the API server was away.
    """

    def __init__(
        self,
        api: Api,
        kinds_wanted: Iterable[str],
        changed: Callable[[], None],
        *,
        namespace: str | None = None,
        selector: str | None = None,
        timeout: float = 20.0,
        broken: Callable[[], None] = lambda: None,
    ) -> None:
        """``broken`` is called, in that thread too, whenever the way to the API server breaks."""
        self._informers: dict[str, Informer] = {}
        self._changed = changed

        async def start() -> None:
            for name in kinds_wanted:
                found = kind_named(name)
                place = (namespace or api.namespace) if found.namespaced else None
                informer = Informer(api.client, found, place, label_selector=selector, broken=broken)
                informer.add_handler(lambda old, new: self._changed())
                self._informers[name] = informer
                informer.start()
            for informer in self._informers.values():
                await informer.synced()

        try:
            portal.run(start(), timeout)
        except BaseException:
            self.close()
            raise

    def objects(self, kind: str) -> Objects:
        """The objects of ``kind`` now, by name. They are shared: do not change them."""
        cache = self._informers[kind].cache
        return [cache[key] for key in sorted(cache.copy())]

    def close(self) -> None:
        async def stop() -> None:
            for informer in self._informers.values():
                await informer.stop()

        portal.run(stop(), 10)

    def __enter__(self) -> Follow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
