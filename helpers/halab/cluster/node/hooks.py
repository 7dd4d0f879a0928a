"""postStart and preStop: the actions a container asks for at its start and before its end."""

from __future__ import annotations

import asyncio

from halab.cluster.kube.types import Obj

from . import checks
from .checks import PortError, Target
from .runtime import Container, StartFailed

HTTP_SECONDS = 60.0


class HookFailed(Exception):
    """The hook did not do its work; the text is for the agent's log, events only say which hook it was."""


async def run(handler: Obj, container: Obj, handle: Container, target: Target) -> None:
    """Run one lifecycle handler to its end. Raises HookFailed."""
    try:
        if action := handler.get("exec"):
            code, output = await checks.run_command(handle, list(action.get("command") or ()), None)
            if code:
                raise HookFailed(f"exit status {code}: {output.strip()}")
        elif action := handler.get("httpGet"):
            outcome = await checks.http(target, checks.http_call(action, container, target.address), HTTP_SECONDS)
            if outcome.result == "failure":
                raise HookFailed(outcome.output)
        elif (action := handler.get("sleep")) is not None:
            # The container may end on its own meanwhile: then there is nothing left to wait for.
            await asyncio.wait([asyncio.shield(handle.ended)], timeout=float(action.get("seconds", 0)))
        else:
            raise HookFailed("invalid handler")
    except (PortError, StartFailed) as error:
        raise HookFailed(str(error)) from error
