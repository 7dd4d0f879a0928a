"""postStart and preStop: the actions a container asks for at its start and before its end."""

from __future__ import annotations

import asyncio

from halab.cluster.kube.types import Obj

from . import checks
from .checks import PortError, Target
from .fields import quoted
from .runtime import Container, StartFailed

HTTP_SECONDS = 60.0


class HookFailed(Exception):
    """The hook did not do its work. The text is kubelet's: a postStart hook's is what the container then waits with; events only say
    which hook it was, so that no secret gets into them."""


async def run(handler: Obj, container: Obj, handle: Container, target: Target, pod: str = "") -> None:
    """Run one lifecycle handler to its end. ``pod`` is the pod's full name, for messages. Raises HookFailed."""
    where = f'for Container "{container["name"]}" in Pod "{pod}" failed - error:'
    if action := handler.get("exec"):
        await _command(list(action.get("command") or ()), handle, where)
    elif action := handler.get("httpGet"):
        await _request(action, container, target, where)
    elif (action := handler.get("sleep")) is not None:
        # The container may end on its own meanwhile: then there is nothing left to wait for.
        await asyncio.wait([asyncio.shield(handle.ended)], timeout=float(action.get("seconds", 0)))
    else:
        raise HookFailed("Cannot run handler: invalid handler")


async def _command(command: list[str], handle: Container, where: str) -> None:
    try:
        code, output = await checks.run_command(handle, command, None)
    except StartFailed as error:
        reason, output = f"rpc error: code = Unknown desc = failed to exec in container: failed to start exec: {error}", ""
    else:
        if not code:
            return
        reason = f"command '{' '.join(command)}' exited with {code}: "
    raise HookFailed(f"Exec lifecycle hook ([{' '.join(command)}]) {where} {reason}, message: {quoted(output)}")


async def _request(action: Obj, container: Obj, target: Target, where: str) -> None:
    """Any answer will do, whatever its status."""
    try:
        outcome = await checks.http(target, checks.http_call(action, container, target.address, "lifecycle"), HTTP_SECONDS)
    except PortError as error:
        outcome = checks.Outcome("failure", str(error))
    if outcome.result == "failure" and not outcome.output.startswith(checks.BAD_STATUS):
        raise HookFailed(f"HTTP lifecycle hook ({action.get('path') or ''}) {where} {outcome.output}")
