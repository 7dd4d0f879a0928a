"""What a proxied server says of its own places leads through the proxy again, as Kubernetes has it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from halab.cluster.apiserver.subresources.rewriting import rewritten, rewritten_page, rewritten_tags

PREFIX = "/api/v1/namespaces/a/services/web/proxy"
HOSTS = frozenset({"10.0.0.5:80", "localhost:8001"})


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ("/login", f"{PREFIX}/login"),
        ("/login/?next=%2F#top", f"{PREFIX}/login/?next=%2F#top"),
        ("http://10.0.0.5:80/login", f"{PREFIX}/login"),
        ("http://localhost:8001/login", f"{PREFIX}/login"),
        ("http://elsewhere/login", "http://elsewhere/login"),
        ("next", "next"),
        ("../up", "../up"),
        (f"{PREFIX}/there", f"{PREFIX}/there"),
        ("/", f"{PREFIX}/"),
    ],
)
def test_a_link_to_the_servers_own_place_leads_through_the_proxy(link: str, found: str) -> None:
    assert rewritten(link, PREFIX, HOSTS) == found


def test_a_pages_tags_are_rewritten_and_its_text_is_not() -> None:
    page = b"<a href=\"/x\" title='/y'>/z</a><img SRC='/i.png'><form action=/go><p data-src=\"/no\">"
    assert rewritten_tags(page, "/p", HOSTS) == (
        b"<a href=\"/p/x\" title='/y'>/z</a><img SRC='/p/i.png'><form action=/p/go><p data-src=\"/no\">"
    )


async def test_a_tag_that_comes_in_two_pieces_is_rewritten_too() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"<p>one</p><a hre"
        yield b'f="/x">two</a> 1 < 2'

    assert b"".join([piece async for piece in rewritten_page(pieces(), "/p", HOSTS)]) == b'<p>one</p><a href="/p/x">two</a> 1 < 2'
