"""What all handlers share: the store, the kinds, the cluster's configuration, and how objects are shown."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from halab.cluster.apiserver import callout, convert, escalation, objects, render
from halab.cluster.apiserver.admission.accounts import account_of
from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.apiserver.admission.reviews import MOST, Needed
from halab.cluster.apiserver.allocation import Allocator
from halab.cluster.apiserver.authn import Authenticator
from halab.cluster.apiserver.authz import Authorizer
from halab.cluster.apiserver.bootstrap import make
from halab.cluster.apiserver.fanout import Fanout
from halab.cluster.apiserver.flows import Flows
from halab.cluster.apiserver.nodes import Summaries
from halab.cluster.apiserver.registry import Registry
from halab.cluster.apiserver.request import Request, User
from halab.cluster.apiserver.tokens import Tokens
from halab.cluster.kube import crd, fields, kinds, status
from halab.cluster.kube.defaults import apply_defaults
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.rbac import Attributes as Question
from halab.cluster.kube.schema import Node, node_for
from halab.cluster.store.cache import Event
from halab.cluster.store.store import Store, Transaction
from halab.settings import ClusterConfig

Obj = dict[str, Any]
T = TypeVar("T")
ACCOUNT_SECONDS = 1.0  # how long a pod waits for its service account to appear


class Context:
    """One API server's state."""

    def __init__(self, config: ClusterConfig, store: Store, registry: Registry) -> None:
        self.config = config
        self.store = store
        self.registry = registry
        self.authorizer = Authorizer(store)
        self.authenticator = Authenticator(config.tokens, Tokens(config.service_account_key), store, self.authorizer)
        self.summaries = Summaries(store, config)
        self.allocator = Allocator(config.addresses)
        self.fanout = Fanout(store)
        self.flows = Flows(store, make)
        self.started = time.time()
        self._plain: dict[Kind, render.Renderer] = {}
        self.counts: Counter[tuple[str, str, str, str, int]] = Counter()  # verb, group, version, resource, code

    def table(self, kind: Kind, objects: Sequence[Obj], rows: str) -> Obj:
        from halab.cluster.kube.table import table

        return table(kind, objects, rows, datetime.now(UTC))

    def node(self, kind: Kind) -> Node:
        """The shape of a kind's objects."""
        return node_for(kind)

    def scale_paths(self, kind: Kind) -> Obj:
        """Where a custom kind keeps its replicas (``specReplicasPath`` ...); empty for built-in kinds."""
        return crd.scale_paths(kind) if kind.custom else {}

    def apply_defaults(self, kind: Kind, obj: Obj) -> None:
        apply_defaults(kind, obj)

    def begin_create(self, kind: Kind, attributes: Attributes) -> None:
        """Admission, strategy, validation of a new object; Services get their addresses in between."""
        allocate = None
        if kind is kinds.SERVICES:
            allocate = partial(self.allocator.create, attributes.tx, attributes.obj)
        attributes.context = self
        escalation.check(self.authorizer, attributes)
        objects.finish_create(kind, attributes, allocate)

    def begin_update(self, kind: Kind, attributes: Attributes) -> None:
        allocate = None
        if kind is kinds.SERVICES and not attributes.subresource and attributes.old is not None:
            allocate = partial(self.allocator.update, attributes.tx, attributes.obj, attributes.old)
        attributes.context = self
        escalation.check(self.authorizer, attributes)
        objects.finish_update(kind, attributes, allocate)

    async def transact(self, request: Request, work: Callable[[Transaction], T], dry_run: bool = False) -> T:
        """A store transaction that begins again whenever a webhook's answer was needed. Raises ApiError."""
        warnings = len(request.warnings)
        for _ in range(MOST):
            try:
                return self.store.transact(work, dry_run=dry_run)
            except Needed as needed:
                request.reviews.answers[needed.call.key] = await callout.ask(self.store, needed.call)
                del request.warnings[warnings:]
        raise status.internal("admission webhooks do not come to an end")

    def decide(self, user: User, question: Obj) -> tuple[bool, str]:
        """The authorizer of CEL expressions; ``question`` as ``cel.authorizer`` collects it."""
        asked = Question(
            question.get("verb", ""), question.get("group", ""), question.get("resource", ""), question.get("subresource", ""),
            question.get("namespace", ""), question.get("name", ""), question.get("path", ""),
        )  # fmt: skip
        if account := question.get("user"):
            namespace = account.split(":")[2]
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
            user = User(account, groups)
        decision = self.authorizer.decide(user, asked)
        return decision.allowed, decision.reason

    def equivalents(self, kind: Kind) -> list[Kind]:
        return self.registry.equivalents(kind)

    def kind_by_type(self, api_version: str, name: str) -> Kind | None:
        return next(
            (kind for kind in self.registry.all() if (kind.api_version, kind.kind) == (api_version, name) and kind.stored), None
        )

    async def wait_for_account(self, namespace: str, pod: Obj) -> None:
        """A pod may be created right after its namespace: give the controller a moment to make the account."""
        name = account_of(pod)
        deadline = asyncio.get_running_loop().time() + ACCOUNT_SECONDS
        collection = self.store.collection(kinds.SERVICE_ACCOUNTS.storage)
        while collection.get(namespace, name) is None:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or self.store.get(kinds.NAMESPACES.storage, "", namespace) is None:
                return
            changed = asyncio.Event()
            stop = collection.watch(namespace, partial(_set, changed))
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                return
            finally:
                stop()

    def renderer(self, kind: Kind, form: render.Format) -> render.Renderer:
        if form is not render.PLAIN:
            return render.Renderer(kind, form, self.table, convert.from_storage(kind))
        found = self._plain.get(kind)
        if found is None or found.kind is not kind:  # a custom kind that was defined anew
            found = self._plain[kind] = render.Renderer(kind, form, self.table, convert.from_storage(kind))
        return found

    def kind_of(self, request: Request) -> Kind:
        """The kind that a request is about. Raises 404 (unknown resource of a known group version), or UnknownPath."""
        kind = self.registry.find(request.group, request.version, request.resource)
        if kind is None:
            if self.registry.serves(request.group, request.version):
                raise status.path_not_found()
            raise UnknownPath
        across = kind.namespaced and not request.name and request.verb in ("list", "watch")
        if bool(request.namespace) is not kind.namespaced and kind is not kinds.NAMESPACES and not across:
            raise status.path_not_found()
        request.kind = kind
        return kind


def _set(changed: asyncio.Event, _: Event) -> None:
    changed.set()


class UnknownPath(Exception):
    """Nothing is served there: a plain-text 404."""


def describe(
    kind_of_resource: Callable[[str], Kind | None],
) -> Callable[[str, Obj], tuple[dict[str, str] | None, dict[str, str] | None]]:
    """The function that tells the store which labels and selectable fields an object of a resource has."""
    paths: dict[str, tuple[Kind, tuple[str, ...]] | None] = {}

    def selectable(resource: str) -> tuple[Kind, tuple[str, ...]] | None:
        kind = kind_of_resource(resource)
        if kind is None:
            return None
        found = tuple(sorted(fields.supported(kind)))
        return (kind, found) if found else None

    def labels_and_fields(resource: str, obj: Obj) -> tuple[dict[str, str] | None, dict[str, str] | None]:
        if resource not in paths:
            paths[resource] = selectable(resource)
        offered = paths[resource]
        values = None if offered is None else {path: fields.field_value(offered[0], obj, path) for path in offered[1]}
        return obj["metadata"].get("labels") or None, values

    return labels_and_fields
