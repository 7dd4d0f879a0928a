"""A small HTTP/1.1 server for ASGI applications, with TLS and a way to take a connection over.

Why not a ready-made one: the API server tunnels ``exec``, ``attach`` and ``port-forward`` as raw bytes whatever protocol the client
asked for (WebSocket, SPDY), thousands of idle watches must cost little, and an idle server must not wake up ten times a second.
It parses with httptools, keeps one object a connection, and writes a short answer with one call (one TLS record).

What it leaves out: HTTP/2 (clients fall back by ALPN), WebSocket framing (the application's business after ``halab.upgrade``),
ASGI's lifespan.

The application is ``async def app(scope, receive, send)`` with ASGI's ``http`` scopes. A request whose body is small is handed over when
it is complete, any other as soon as its head is. ``scope["extensions"]`` holds what ASGI lacks:

* ``halab.upgrade`` (of a request with an ``Upgrade`` header): a coroutine function without arguments that returns an ``Upgraded``
  connection, after which the application owns the bytes both ways (it writes the ``101`` itself), and must not call ``send``;
* ``halab.answer``: the ``Exchange``, for answers that outlive their handler: ``push`` writes a piece of a started answer without
  waiting, ``detach`` lets the handler return while the answer goes on, ``end`` ends it, ``abort`` drops the connection and what waits in it.

``server`` listens, ``tls`` encrypts, ``connection`` parses and keeps the order, ``exchange`` is one request and its answer.
"""

from halab.aio.http.server import serve, server_context
from halab.aio.http.types import App, Message, Receive, Scope, Send, Upgraded

__all__ = ["App", "Message", "Receive", "Scope", "Send", "Upgraded", "serve", "server_context"]
