"""A loop in a thread, for callers that have none."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest

from halab.aio.portal import Portal

INTERRUPTED = """
import asyncio, os, signal, threading
from halab.aio.portal import portal
async def work():
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.2)
        print("cleaned up", flush=True)
portal.run(work())
"""


def test_a_result_and_an_error_come_through() -> None:
    async def good() -> int:
        return 7

    async def bad() -> int:
        raise ValueError("no")

    portal = Portal()
    assert portal.run(good()) == 7
    with pytest.raises(ValueError, match="no"):
        portal.run(bad())


def test_what_takes_too_long_is_cancelled_and_has_cleaned_up_when_the_call_returns() -> None:
    steps = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            steps.append("cleaned up")

    with pytest.raises(TimeoutError):
        Portal().run(slow(), timeout=0.05)
    assert steps == ["cleaned up"]


def test_ctrl_c_lets_the_work_clean_up_before_the_process_ends() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert done.stdout == "cleaned up\n"
    assert done.returncode in (-signal.SIGINT, 130)
