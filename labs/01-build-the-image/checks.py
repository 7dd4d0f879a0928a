"""Checks of lab 01: the recipe is built again from the cache, a container of the image answers, a killed one comes back."""

import os
import signal
import time

from halab.course.requests import fetch, wait_until_answered
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene
from halab.errors import HalabError
from halab.images.api import ContainerSpec, Event, Port, Request

IMAGE, CONTAINER, FOLDER = "my-nginx:1.0", "web", "article"


def rebuild_hits_the_cache(scene: Scene) -> Result:
    missing = _missing_image(scene)
    if missing is not None:
        return missing
    events: list[Event] = []
    try:
        before = scene.images.inspect(IMAGE)["Id"]
        scene.images.build(Request(scene.files / FOLDER, tags=(IMAGE,)), events.append)
    except HalabError as error:
        return Failed(f"building {FOLDER}/ again fails: {error}", "")
    made = [event.text for event in events if event.kind == "running"]
    if made:
        return Failed(
            f"{len(made)} steps were made anew instead of coming from the cache",
            "was the Dockerfile changed after the last build? Build once more, then check again",
        )
    if scene.images.inspect(IMAGE)["Id"] != before:
        return Failed(
            f"{FOLDER}/Dockerfile makes another image than the one that is called {IMAGE}",
            f"which folder did you build {IMAGE} from?",
        )
    cached = sum(1 for event in events if event.kind == "cached")
    return Passed(f"{cached} steps came from the cache, none was made anew")


def the_image_answers(scene: Scene) -> Result:
    missing = _missing_image(scene)
    if missing is not None:
        return missing
    try:
        row = scene.images.run(ContainerSpec(IMAGE, name="halab-check", ports=(Port("127.0.0.1", 0, 80),)))
    except HalabError as error:
        return Failed(f"a container of {IMAGE} does not start: {error}", "")
    try:
        address = _address(scene.images.container(row.id).ports)
        answer = wait_until_answered(address, 10)
        if not answer.ok:
            state = scene.images.container(row.id)
            logs = " / ".join(text.strip() for _, text in scene.images.logs(row.id, tail=3))
            how = "it runs, but nothing answers on its port 80" if state.running else f"it ended at once ({state.status})"
            return Failed(
                f"a container of {IMAGE} was started: {how}" + (f"; its log ends: {logs}" if logs else ""),
                "CMD must start the web server in the foreground; when the program of CMD ends, the container ends",
            )
        return Passed(f"a container of {IMAGE} answered {answer.status}")
    finally:
        scene.images.remove_container(row.id, force=True)


def a_killed_container_answers_again(scene: Scene) -> Result:
    try:
        row = scene.images.container(CONTAINER)
    except HalabError:
        names = ", ".join(item.name for item in scene.images.containers(everything=True))
        return Failed(
            f"there is no container called {CONTAINER}" + (f"; there is: {names}" if names else ""),
            "halab image run --name gives a container its name",
        )
    if not row.running:
        return Failed(
            f"the container {CONTAINER} is not running ({row.status})", f"halab image logs {CONTAINER} shows what it printed"
        )
    if not row.ports:
        return Failed(
            f"the container {CONTAINER} runs, but no port of it is published",
            "users reach it only through a published port: -p HOST:CONTAINER",
        )
    address = _address(row.ports)
    if not fetch(address).ok:
        return Failed(
            f"{CONTAINER} runs, but {address[0]}:{address[1]} gives: {fetch(address)}",
            "which port does the program in it listen on?",
        )
    os.kill(row.pid, signal.SIGKILL)
    start = time.monotonic()
    _until_gone(row.pid)
    answer = wait_until_answered(address, 15)
    if not answer.ok:
        now = scene.images.container(CONTAINER)
        return Failed(
            f"{CONTAINER} was killed and did not come back: {now.status}",
            "which restart policy brings a container back whatever its exit status?",
        )
    return Passed(f"{CONTAINER} was killed and answered again after {time.monotonic() - start:.1f} s")


def _missing_image(scene: Scene) -> Failed | None:
    try:
        scene.images.inspect(IMAGE)
    except HalabError:
        names = ", ".join(sorted(item.name for item in scene.images.images() if item.name and not item.builtin))
        return Failed(
            f"there is no image {IMAGE}" + (f"; there is: {names}" if names else ""),
            "halab image build -t NAME FOLDER builds the Dockerfile in FOLDER",
        )
    return None


def _address(ports: tuple[str, ...]) -> tuple[str, int]:
    """``127.0.0.1:8081->80/tcp`` -> (127.0.0.1, 8081)."""
    host, _, port = ports[0].partition("->")[0].rpartition(":")
    return host, int(port)


def _until_gone(pid: int) -> None:
    """Wait (it was killed) until the process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        import select

        select.select([descriptor], [], [], 5)
    finally:
        os.close(descriptor)
