"""uv.lock names files by hash and no place to get them from."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))

import lock  # noqa: E402

HOST = "registry.example"
FULL = f"""
[[package]]
name = "orjson"
version = "3.10.0"
source = {{ registry = "https://{HOST}/simple" }}
sdist = {{ url = "https://{HOST}/a/orjson-3.10.0.tar.gz", hash = "sha256:aa", size = 1, upload-time = "2026-01-01T00:00:00Z" }}
wheels = [
    {{ url = "https://{HOST}/b/orjson-3.10.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", hash = "sha256:bb", size = 2 }},
    {{ url = "https://{HOST}/c/orjson-3.10.0-cp311-cp311-musllinux_1_2_x86_64.whl", hash = "sha256:cc", size = 3 }},
    {{ url = "https://{HOST}/d/orjson-3.10.0-cp311-cp311-win_amd64.whl", hash = "sha256:dd", size = 4 }},
    {{ url = "https://{HOST}/e/orjson-3.10.0-py3-none-any.whl", hash = "sha256:ee", size = 5 }},
]
"""

PROJECT = """
[project]
name = "halab"
dependencies = ["orjson>=3.10,<4"]
"""
LOCKED = """
[[package]]
name = "halab"
[package.metadata]
requires-dist = [{ name = "orjson", specifier = ">=3.10,<4" }]
"""


def test_a_stripped_lock_keeps_every_hash_that_linux_can_use_and_no_address() -> None:
    stripped = lock.strip(FULL)
    assert HOST not in stripped
    assert "://" not in stripped
    assert [mark for mark in ("aa", "bb", "cc", "dd", "ee") if f"sha256:{mark}" in stripped] == ["aa", "bb", "ee"]
    assert 'path = "orjson-3.10.0-py3-none-any.whl"' in stripped


def test_stripping_twice_changes_nothing() -> None:
    assert lock.strip(lock.strip(FULL)) == lock.strip(FULL)


def test_a_current_lock_is_current_whatever_the_order_of_its_bounds() -> None:
    assert lock.stale(LOCKED, PROJECT.replace(">=3.10,<4", "<4, >=3.10")) == []


def test_what_is_asked_for_and_not_locked_is_named() -> None:
    assert lock.stale(LOCKED, PROJECT.replace(">=3.10,<4", ">=3.11")) == ["dependencies: orjson>=3.11 is not locked"]


def test_what_is_locked_and_no_longer_asked_for_is_named() -> None:
    assert lock.stale(LOCKED, PROJECT.replace('"orjson>=3.10,<4"', "")) == [
        "dependencies: orjson is locked but no longer asked for"
    ]


def test_an_address_in_the_lock_is_a_fault() -> None:
    assert "the lock contains addresses" in lock.stale(LOCKED + f"# https://{HOST}", PROJECT)


def test_the_repositorys_own_lock_is_current() -> None:
    assert lock.stale((ROOT / "uv.lock").read_text(), (ROOT / "pyproject.toml").read_text()) == []
