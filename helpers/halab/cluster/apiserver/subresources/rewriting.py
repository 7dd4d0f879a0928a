"""What a proxied answer says of places in its own server, told as the client must ask for them: under the proxy's path.

The rules are Kubernetes' (apimachinery: util/proxy/transport.go). Without them a page's absolute links and a redirect lead to the API server's
own paths. Pure.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

MOST_HELD = 64 * 1024  # bytes of an unfinished tag that are kept back; a longer one is passed on as it is

CORS = frozenset({
    b"access-control-allow-credentials", b"access-control-allow-headers", b"access-control-allow-methods", b"access-control-allow-origin",
})  # fmt: skip
"""An answer's headers that would speak for the API server: taken away."""

_ATTRIBUTES = b"|".join([
    b"action", b"background", b"cite", b"classid", b"codebase", b"data", b"formaction", b"href", b"icon", b"longdesc", b"manifest", b"poster",
    b"profile", b"src", b"usemap",
])  # fmt: skip
_LINK = re.compile(rb"""(\s(?:%b)\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""" % _ATTRIBUTES, re.IGNORECASE)
_TAG = re.compile(rb"<[A-Za-z][^>]*>")


def rewritten(link: str, prefix: str, hosts: frozenset[str]) -> str:
    """``link`` as it is found under ``prefix``. Left alone: what is relative, of a host that is none of ``hosts``, or under it already."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return link
    if (parts.netloc and parts.netloc not in hosts) or not parts.path.startswith("/"):
        return link
    path = parts.path
    if not path.startswith(prefix):
        slash = "/" if path.endswith("/") else ""
        path = posixpath.normpath(prefix + path).rstrip("/") + slash
    return urlunsplit(("", "", path, parts.query, parts.fragment))


def rewritten_tags(html: bytes, prefix: str, hosts: frozenset[str]) -> bytes:
    """``html`` with the links of its tags rewritten."""

    def link(match: re.Match[bytes]) -> bytes:
        value = match[2]
        quote = value[:1] if value[:1] in (b'"', b"'") else b""
        text = value[len(quote) : len(value) - len(quote)].decode("utf-8", "surrogateescape")
        return match[1] + quote + rewritten(text, prefix, hosts).encode("utf-8", "surrogateescape") + quote

    return _TAG.sub(lambda tag: _LINK.sub(link, tag[0]), html)


async def rewritten_page(pieces: AsyncIterator[bytes], prefix: str, hosts: frozenset[str]) -> AsyncIterator[bytes]:
    """A page as it comes, each piece up to the last whole tag."""
    held = b""
    async for piece in pieces:
        held += piece
        opened = held.rfind(b"<")
        cut = opened if opened >= 0 and b">" not in held[opened:] and len(held) - opened < MOST_HELD else len(held)
        if cut:
            yield rewritten_tags(held[:cut], prefix, hosts)
        held = held[cut:]
    if held:
        yield rewritten_tags(held, prefix, hosts)
