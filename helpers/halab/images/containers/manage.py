"""run, ps, logs, stop, kill, start, rm: what a person does with containers. Synchronous; the work is done by monitor processes."""

from __future__ import annotations

import os
import select
import shlex
import signal
from pathlib import Path

from halab.aio.processes import start_time
from halab.errors import ImageError
from halab.images import daemon, oci
from halab.images.containers.records import LAST, Container, Records
from halab.images.containers.signals import signal_number
from halab.images.containers.spec import ContainerSpec
from halab.images.image import Image
from halab.images.reference import Reference
from halab.images.store import ImageStore


def command_of(spec: ContainerSpec, image: Image) -> tuple[str, ...]:
    """Docker's rule: a new entrypoint drops the image's CMD; given words replace CMD only."""
    entrypoint = image.entrypoint if spec.entrypoint is None else list(spec.entrypoint)
    arguments = list(spec.command) or (image.command if spec.entrypoint is None else [])
    words = (*entrypoint, *arguments)
    if not words:
        raise ImageError(f"image {spec.image}", "No command specified", "give one: halab image run IMAGE COMMAND")
    return words


class Containers:
    """``home`` is $HALAB_HOME; containers live in ``home/containers``."""

    def __init__(self, store: ImageStore, home: Path) -> None:
        self.store, self.home = store, home
        self.records = Records(home / "containers")

    def run(self, spec: ContainerSpec) -> Container:
        """Start a container and return once its program runs. Raises ImageError when it cannot be started (nothing is left then)."""
        image = self.store.resolve(spec.image)
        container = self.records.create(spec, image.digest, command_of(spec, image), oci.timestamp())
        try:
            return self._monitor(container)
        except BaseException:
            if container.directory.exists() and not self.records.read(container.directory).running:
                self.records.remove(container)
            raise

    def _monitor(self, container: Container) -> Container:
        daemon.start(
            f"container {container.name}",
            "halab.images.containers.monitor",
            [str(container.directory), str(self.store.root)],
            container.directory / "monitor.log",
            self.home,
        )
        return self.records.read(container.directory) if container.directory.exists() else container

    def containers(self, *, everything: bool = False) -> list[Container]:
        """Newest first; the ended ones too with ``everything``."""
        return [item for item in self.records.all() if everything or item.running]

    def find(self, word: str) -> Container:
        return self.records.find(word)

    def stop(self, word: str, grace: float = 10.0) -> Container:
        """Ask the program to end (the image's stop signal), kill it after ``grace`` seconds; it is not restarted."""
        container = self.find(word)
        if container.running:
            (container.directory / "grace").write_text(str(grace))
            self._signal(container, signal.SIGTERM, grace + 15)
        return self.records.read(container.directory) if container.directory.exists() else container

    def kill(self, word: str, number: int = signal.SIGKILL) -> Container:
        """Send a signal to the program, as ``docker kill`` does: a person's wish, so its restart policy does not bring it back.

        As in Docker, an image that names its own stop signal gets others than that and SIGKILL without such a meaning (``kill -s HUP`` reloads nginx).
        """
        container = self.find(word)
        if not container.running or not container.state.pid:
            raise ImageError(f"container {container.name}", "is not running")
        image = self.store.load(container.image_digest, Reference.parse(container.spec.image))
        own = str(image.config.get("StopSignal") or "")
        if number == signal.SIGKILL or not own or number == signal_number(own):
            (container.directory / LAST).touch()
        os.kill(container.state.pid, number)
        return container

    def start(self, word: str) -> Container:
        """Start a container that has ended, with what it wrote before."""
        container = self.find(word)
        return container if container.running else self._monitor(container)

    def remove(self, word: str, *, force: bool = False) -> str:
        """Delete a container; a running one only with ``force`` (it is killed). Returns its name."""
        container = self.find(word)
        if container.running:
            if not force:
                raise ImageError(
                    f"container {container.name}",
                    "is running",
                    f"stop it first: halab image stop {shlex.quote(container.name)}, or use --force",
                )
            self._signal(container, signal.SIGUSR1, 15)
        if container.directory.exists():
            self.records.remove(container)
        return container.name

    def wait(self, container: Container, seconds: float) -> None:
        """Until the container's monitor has ended, or ``seconds`` are over."""
        handle = _monitor(container)
        if handle is None:
            return
        try:
            select.select([handle], [], [], max(seconds, 0.0))
        finally:
            os.close(handle)

    def _signal(self, container: Container, number: int, seconds: float) -> None:
        """Signal the monitor and wait until it has ended."""
        handle = _monitor(container)
        if handle is None:
            return
        try:
            signal.pidfd_send_signal(handle, number)
            if not select.select([handle], [], [], seconds)[0]:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [], 5)
        finally:
            os.close(handle)


def _monitor(container: Container) -> int | None:
    """A descriptor (pidfd) of the container's monitor process; None when it has ended."""
    pid, stamp = container.state.monitor, container.state.monitor_stamp
    if not pid or start_time(pid) != stamp:
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
