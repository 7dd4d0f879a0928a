"""The ASGI application: authenticate, route, authorize, dispatch; every failure becomes Kubernetes' answer to it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable

from halab.aio.http import Receive, Scope, Send
from halab.cluster.apiserver import deletes, reads, watches, writes
from halab.cluster.apiserver.authn import Authenticator
from halab.cluster.apiserver.context import Context, UnknownPath
from halab.cluster.apiserver.documents import Documents
from halab.cluster.apiserver.request import TEXT, Request
from halab.cluster.kube import kinds, status
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.store import Contended

log = logging.getLogger("halab.apiserver")
Handler = Callable[[Context, Request, Kind], Awaitable[None]]

VERBS: dict[str, Handler] = {
    "get": reads.get,
    "list": reads.list_objects,
    "watch": watches.watch,
    "create": writes.create,
    "update": writes.update,
    "patch": writes.patch,
    "delete": deletes.delete,
    "deletecollection": deletes.delete_collection,
}

DEPRECATED = {
    kinds.ENDPOINTS: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    kinds.COMPONENT_STATUSES: "v1 ComponentStatus is deprecated in v1.19+",
}


class Application:
    def __init__(self, context: Context, authenticator: Authenticator) -> None:
        self.context = context
        self.authenticator = authenticator
        self.documents = Documents(context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            await self.handle(request)
        except status.ApiError as error:
            await request.answer_error(error)
        except UnknownPath:
            await request.answer(404, b"404 page not found\n", TEXT)
        except ConnectionResetError:
            return
        except Contended:
            await request.answer_error(status.too_many_requests("the store is busy, please try again", 1))
        except sqlite3.Error as error:
            log.error("the store refused: %s", error)
            await request.answer_error(status.internal(f"the store refused: {error}"))
        except Exception as error:
            log.exception("%s %s", request.method, request.path)
            if request.status:
                raise
            await request.answer_error(status.internal(f"{type(error).__name__}: {error}"))

    async def handle(self, request: Request) -> None:
        request.user = self.authenticator.authenticate(request)
        request.route()
        if not request.is_resource:
            await self.documents.answer(request)
            return
        kind = self.context.kind_of(request)
        if request.subresource and kind.subresource(request.subresource) is None:
            raise status.path_not_found()
        warning = DEPRECATED.get(kind)
        if warning:
            request.warnings.append(warning)
        handler = VERBS.get(request.verb)
        if (
            handler is None
            or (request.verb == "create" and request.name)
            or (request.verb in ("update", "patch") and not request.name)
        ):
            raise status.method_not_allowed()
        await handler(self.context, request, kind)
