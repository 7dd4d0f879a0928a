"""``--backend auto``: which kind of cluster this machine does best, why, and what would give a better one."""

from __future__ import annotations

from dataclasses import dataclass

from halab.backends import choice, kind_config, preflight
from halab.backends.findings import Finding
from halab.errors import MachineError
from halab.settings import DOCKER, PROCESS

NOT_BETTER = "--backend embedded"  # the remedy of what this machine will never do
ASK_SECONDS = 15  # for the engine to ask an image's registry


@dataclass(frozen=True, slots=True)
class Chosen:
    """``backend``, the embedded cluster's ``runtime``, and one line that says why and what would be better."""

    backend: str
    why: str
    runtime: str = ""


def choose(name: str) -> Chosen:
    """What was chosen before stays; else kind where everything for it is there; else the embedded cluster."""
    known = choice.read(name)
    if known is not None:
        return Chosen(known.backend, f"{known.backend}: cluster {name} is one already (another: halab down --purge first)")
    if preflight.embedded_exists(name):
        return Chosen(choice.EMBEDDED, f"embedded: cluster {name} is one already (another: halab down --purge first)")
    failed = [finding for finding in preflight.kind_findings() if finding.level == "fail"] or node_image_missing()
    if not failed:
        return Chosen(
            choice.KIND,
            "kind: Docker, kind and kubectl are here, so it is a real Kubernetes in containers (lighter: --backend embedded)",
        )
    first = failed[0]
    better = f"; {first.remedy}" if first.remedy and NOT_BETTER not in first.remedy else ""
    if not (obstacle := engine_obstacle()):
        why = "embedded with --runtime docker: an engine is here, so pods are real containers"
        return Chosen(choice.EMBEDDED, f"{why}; for a real Kubernetes (kind), {first.subject}: {first.fact}{better}", DOCKER)
    if first.subject != "docker":
        better += f"; for pods in containers, {obstacle}"
    return Chosen(
        choice.EMBEDDED, f"embedded: it needs nothing; for a real Kubernetes (kind), {first.subject}: {first.fact}{better}"
    )


def node_image_missing() -> list[Finding]:
    """What kind would have to pull, where that cannot be done: a classroom without a network. Empty if all is well, or not to be known."""
    version = preflight.kind_version()
    image = kind_config.node_image(version) if version else ""
    if not image:
        return []  # kind's own default, whose name it keeps to itself
    from docker.errors import DockerException, ImageNotFound
    from requests import RequestException

    from halab.engine.client import connect, reason

    client = connect(timeout=ASK_SECONDS)
    try:
        client.inspect_image(image)
    except ImageNotFound:
        try:
            client.inspect_distribution(image)
        except (DockerException, RequestException) as error:
            fact = f"{image.partition('@')[0]} is not here and cannot be pulled ({reason(error)[:120]})"
            return [Finding("the node image", "fail", fact, "docker load it, or set HALAB_KIND_IMAGE to one that is here")]
    except (DockerException, RequestException):
        pass
    finally:
        client.close()
    return []


def engine_obstacle() -> str:
    """Why pods cannot be containers of an engine here; empty where they can, as far as can be told without trying."""
    try:
        from halab.engine.client import connect, rootless

        client = connect()
        try:
            return "the engine is rootless" if rootless(client) else ""
        finally:
            client.close()
    except MachineError as error:
        return f"{error.subject} {error.fact}"


def choose_runtime() -> Chosen:
    """``--runtime auto``."""
    if obstacle := engine_obstacle():
        return Chosen(choice.EMBEDDED, f"runtime process: pods are sandboxed processes; for real containers, {obstacle}", PROCESS)
    return Chosen(
        choice.EMBEDDED, "runtime docker: an engine is here, so pods are real containers (lighter: --runtime process)", DOCKER
    )
