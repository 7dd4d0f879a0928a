"""The ASGI application: authenticate, route, authorize, dispatch; every failure becomes Kubernetes' answer to it."""

from __future__ import annotations

import logging
import sqlite3
from functools import partial

from halab.aio.http import Receive, Scope, Send
from halab.cluster.apiserver.aggregation import Aggregator
from halab.cluster.apiserver.audit import Audit
from halab.cluster.apiserver.context import Context, UnknownPath
from halab.cluster.apiserver.dispatch import handler_for
from halab.cluster.apiserver.documents import Documents
from halab.cluster.apiserver.request import TEXT, PlainError, Request
from halab.cluster.apiserver.websockets import frames_of
from halab.cluster.kube import status, validation
from halab.cluster.store.store import Contended

log = logging.getLogger("halab.apiserver")


class Application:
    def __init__(self, context: Context, audit: Audit) -> None:
        self.context = context
        self.audit = audit
        self.aggregator = Aggregator(context)
        self.documents = Documents(context, self.aggregator)

    def close(self) -> None:
        self.aggregator.close()
        self.audit.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            await self.handle(request)
        except status.ApiError as error:
            await self._fail(request, error)
        except PlainError as error:
            await request.answer(error.code, f"{error}\n".encode(), TEXT)
        except UnknownPath:
            await request.answer(404, b"404 page not found\n", TEXT)
        except ConnectionResetError:
            return
        except Contended:
            await self._fail(request, status.too_many_requests("the store is busy, please try again", 1))
        except sqlite3.Error as error:
            log.error("%s %s: the store refused: %s", request.method, request.path, error)
            await self._fail(request, status.internal(f"the store refused: {error}"))
        except Exception as error:
            if _too_deep(error):
                await self._fail(request, status.bad_request("the object is nested too deep: exceeded max depth"))
                return
            log.exception("%s %s", request.method, request.path)
            await self._fail(request, status.internal(f"{type(error).__name__}: {error}"))
        finally:
            if request.detached:
                request.finished = partial(self._finished, request)
            else:
                self._finished(request)

    def _finished(self, request: Request) -> None:
        key = (request.verb, request.group, request.version, request.resource, request.status)
        self.context.counts[key] += 1
        self.audit.note(request)

    async def _fail(self, request: Request, error: status.ApiError) -> None:
        if request.status:  # the answer has begun: all that is left is to end it
            raise ConnectionError(error.message)
        await request.answer_error(error)

    async def handle(self, request: Request) -> None:
        context = self.context
        request.route()
        request.user = context.authenticator.authenticate(request)
        request.flow = context.flows.headers(request)
        context.authorizer.check(request)
        remote = self.aggregator.find(*_group_version(request))
        if remote is not None:
            await self.aggregator.carry(request, remote)
            return
        if not request.is_resource:
            await self.documents.answer(request)
            return
        kind = context.kind_of(request)
        handler = handler_for(request, kind)
        warning = validation.kind_warning(kind)
        if warning:
            request.warnings.append(warning)
        if (frames := frames_of(request)) is not None:
            request.send = frames.send
            request.scope["extensions"]["halab.answer"] = frames
        await handler(context, request, kind)


def _group_version(request: Request) -> tuple[str, str]:
    """The group and version that a path lies in, ``/apis/GROUP/VERSION`` itself included."""
    if request.is_resource:
        return request.group, request.version
    match request.path.strip("/").split("/"):
        case ["apis", group, version]:
            return group, version
    return "", ""


def _too_deep(error: Exception) -> bool:
    """Whether a body is nested deeper than it can be walked, or written as JSON again (orjson: 254 levels)."""
    return isinstance(error, RecursionError) or "Recursion limit reached" in str(error)
