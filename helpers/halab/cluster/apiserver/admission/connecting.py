"""Admission of what writes no object of its resource: connections (exec, attach, portforward, proxy), bindings and evictions.

Webhooks and policies see the object that the subresource speaks (``PodExecOptions``, ``Binding``, ``Eviction``), with the resource and the
subresource of the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from halab.cluster.apiserver.admission import policies, webhooks
from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.apiserver.request import Request
from halab.cluster.kube import kinds
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.store import Transaction

if TYPE_CHECKING:
    from halab.cluster.apiserver.context import Context

Obj = dict[str, Any]
CONNECTIONS = frozenset({"exec", "attach", "portforward", "proxy"})
_SOURCES = (kinds.MUTATING_WEBHOOKS, kinds.VALIDATING_WEBHOOKS, kinds.VALIDATING_ADMISSION_POLICY_BINDINGS)
_FLAGS = ("stdin", "stdout", "stderr", "tty")


def is_asked(context: Context) -> bool:
    """Whether anybody configured webhooks or policies at all."""
    context.store.sync()
    return any(len(context.store.collection(kind.storage)) for kind in _SOURCES)


def admit(request: Request, tx: Transaction, context: Context, kind: Kind, about: Kind, obj: Obj, dry_run: bool = False) -> None:
    """Ask about a create of ``about`` through a subresource of ``kind``; ``obj`` may be changed. Raises Needed and ApiError."""
    attributes = _attributes(request, tx, context, kind, about, obj, "CREATE")
    attributes.dry_run = dry_run
    _ask(attributes)


async def connect(context: Context, request: Request, kind: Kind) -> None:
    """Ask whether a connection may be made. Raises ApiError."""
    subresource = kind.subresource(request.subresource)
    assert subresource is not None
    if not is_asked(context):
        return
    about = Kind("", "v1", subresource.kind, subresource.kind.lower(), "", kind.namespaced)

    def work(tx: Transaction) -> None:
        _ask(_attributes(request, tx, context, kind, about, _options(request), "CONNECT"))

    await context.transact(request, work, dry_run=True)


def _attributes(
    request: Request, tx: Transaction, context: Context, kind: Kind, about: Kind, obj: Obj, operation: str
) -> Attributes:
    return Attributes(
        operation,
        kind,
        request.namespace,
        request.name or (obj.get("metadata") or {}).get("name") or "",
        request.user,
        tx,
        obj=obj,
        subresource=request.subresource,
        warnings=request.warnings,
        context=context,
        reviews=request.reviews,
        asked=request.subresource,
        about=about,
    )


def _ask(attributes: Attributes) -> None:
    webhooks.mutate(attributes)
    policies.validate(attributes)
    webhooks.validate(attributes)


def _options(request: Request) -> Obj:
    """The query as the options object that it stands for."""
    options: Obj = {}
    if request.subresource == "proxy":
        return {"path": "/" + request.subpath} if request.subpath else options
    if request.subresource == "portforward":
        ports = [int(port) for value in request.params.get("ports") or () for port in value.split(",") if port.isdigit()]
        return {"ports": ports} if ports else options
    options |= {name: True for name in _FLAGS if request.flag(name)}
    if container := request.param("container"):
        options["container"] = container
    if request.subresource == "exec":
        options["command"] = request.params.get("command") or None
    return options
