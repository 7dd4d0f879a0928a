"""``image exec``: one more program in a running container, with the caller's own standard streams."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from halab.errors import ImageError
from halab.images.containers.monitor import start_message
from halab.images.containers.records import Container
from halab.images.image import Image
from halab.sandbox import Sandbox, SandboxSpec, StartError


async def execute(container: Container, image: Image, command: Sequence[str], *, stdin: int, stdout: int, stderr: int) -> int:
    """Run ``command`` inside and return its exit status; the descriptors are given to it as they are. Raises ImageError."""
    if container.state.status != "running" or not container.state.pid:
        raise ImageError(f"container {container.name}", "is not running", f"start it: halab image start {container.name}")
    spec = SandboxSpec(
        argv=command,
        env={"HOSTNAME": container.id[:12], "HOME": "/root"} | image.environment | container.spec.environment,
        cwd=container.spec.directory or image.working_directory,
        layers=image.layers,
        host_files=image.on_host,
        host_paths=image.host_paths,
        address=container.state.address,
    )
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    settings = container.state.settings or None
    running = Sandbox(spec, container.state.pid, container.state.pid, ended, settings)
    try:
        program = await running.exec(command, stdin=stdin, stdout=stdout, stderr=stderr)
    except StartError as error:
        raise ImageError(f"container {container.name}", start_message(error, command)) from None
    finally:
        ended.cancel()
    try:
        return await program.wait()
    finally:
        program.kill()
