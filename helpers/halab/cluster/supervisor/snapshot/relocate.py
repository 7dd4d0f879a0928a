"""A cluster's objects name its address range and its directory; in another place both are others."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import orjson


def relocation(number: int, directory: str, new_number: int, new_directory: Path) -> Callable[[bytes], bytes]:
    """A function on an object's JSON: addresses in 127.``number``.0.0/16 move to the new range, paths below ``directory`` to the new one.

    It works on the text, so that addresses inside annotations and managed fields move as well. A Secret's data (base64) is left alone.
    """
    address = re.compile(rb"(?<![\d.])127\.%d\.(?=\d{1,3}\.\d{1,3}(?!\d))" % number)
    prefix = b"127.%d." % new_number
    old, new = (b'"' + orjson.dumps(text)[1:-1] + b"/" for text in (directory, str(new_directory)))

    def change(value: bytes) -> bytes:
        if new_number != number:
            value = address.sub(prefix, value)
        return value.replace(old, new)

    return change
