"""Checks of lab 11: both registries are asked for the digest, the pods report theirs, and a pod starts while a registry is down."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from halab.backends.access import Obj
from halab.course.requests import fetch
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, describe_pods, is_ready, serves, trouble_of
from halab.course.vocabulary import learner_lacks, not_ready, trouble_among
from halab.errors import ImageError
from halab.images.api import Registries
from halab.settings import halab_home

NAME, WANTED, PORTS = "shop", 2, (5000, 5001)
ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


def pushed_to_both(scene: Scene) -> Result:
    digests = {}
    for port in PORTS:
        digest, problem = _pushed(scene, port, "1.0")
        if problem:
            return Failed(
                f"registry {_place(scene, port)}: {problem}", "halab image registry ls shows what runs; then tag and push"
            )
        digests[port] = digest
    if len(set(digests.values())) > 1:
        shown = " and ".join(f"{digest[:19]} at :{port}" for port, digest in digests.items())
        return Failed(f"the two are not the same image: shop:1.0 is {shown}", "build once, tag twice, push twice")
    return Passed(f"both registries have shop:1.0 as {digests[PORTS[0]][:19]}…")


def runs_what_was_pushed(scene: Scene) -> Result:
    problem = _two_run(scene)
    if problem is not None:
        return problem
    pushed, trouble = _pushed(scene, PORTS[0], "1.0")
    if trouble:
        return Failed(f"registry {_place(scene, PORTS[0])}: {trouble}", "halab image registry ls")
    image = _image(scene.api.get("deployments", NAME))
    if "@sha256:" not in image:
        return Failed(
            f"the Deployment names a tag, {image}: it can mean something else tomorrow",
            "how does one name an image by its digest?",
        )
    running = {_digest(pod) for pod in scene.pods(f"app={NAME}")}
    if running != {pushed}:
        shown = ", ".join(sorted(digest[:19] or "nothing" for digest in running))
        return Failed(
            f"the pods run {shown}, not the digest that the registry has for shop:1.0 ({pushed[:19]})",
            "kubectl get pods -o yaml: imageID",
        )
    return Passed(f"{WANTED} pods run {pushed[:19]}…, as pushed")


def starts_without_the_first_registry(scene: Scene) -> Result:
    problem = _two_run(scene)
    if problem is not None:
        return problem
    pods = sorted(scene.pods(f"app={NAME}"), key=lambda pod: str(pod["metadata"]["name"]))
    victim, known = pods[0]["metadata"]["name"], {pod["metadata"]["uid"] for pod in pods}
    with _first_registry_down(scene) as down, _cache_empty(scene, _digest(pods[0])) as empty:
        if not down:
            return Failed(
                f"the registry at {_place(scene, PORTS[0])} cannot be stopped: it is none of halab's", "halab image registry ls"
            )
        if not empty:
            return Failed("the nodes' copy of the image is still there: nothing would be shown", "halab image ls")
        scene.api.delete("pods", victim, grace=0)

        def decided(seen: list[Obj]) -> bool:
            new = [pod for pod in seen if pod["metadata"]["uid"] not in known]
            return any(serves(pod) or trouble_of(pod) for pod in new)

        seen = scene.api.wait("pods", decided, 40, selector=f"app={NAME}")
        new = [pod for pod in seen if pod["metadata"]["uid"] not in known]
        if not any(serves(pod) for pod in new):
            trouble = trouble_among(new) or describe_pods(new)
            return Failed(
                f"with the first registry down, the new pod does not start: {trouble}",
                "which mirror is asked when a registry does not answer? halab image registry mirror --help",
            )
    return Passed(f"{victim} was deleted while the first registry was down; {new[0]['metadata']['name']} came from the mirror")


def rolled_back(scene: Scene) -> Result:
    problem = _two_run(scene)
    if problem is not None:
        return problem
    old, trouble = _pushed(scene, PORTS[0], "1.0")
    new, more = _pushed(scene, PORTS[0], "1.1")
    if trouble or more:
        return Failed(f"registry {_place(scene, PORTS[0])}: {trouble or more}", "push both versions: shop:1.0 and shop:1.1")
    history = {_image(owner).rpartition("@")[2] for owner in scene.list("replicasets", f"app={NAME}")}
    if new not in history:
        return Failed("the Deployment never ran shop:1.1", "kubectl rollout history deployment/shop")
    pods = scene.pods(f"app={NAME}")
    versions = {scene.ask_pod(pod, 80).headers.get("x-version", "unknown") for pod in pods}
    if versions != {"1.0"} or {_digest(pod) for pod in pods} != {old}:
        return Failed(f"users get version {', '.join(sorted(versions))}", "which kubectl rollout command goes back?")
    return Passed(f"1.1 was tried; users get 1.0 again, as {old[:19]}…")


def _place(scene: Scene, port: int) -> str:
    return f"{scene.environment['LAB_ADDRESS']}:{port}"


def _pushed(scene: Scene, port: int, tag: str) -> tuple[str, str]:
    """The digest of shop:``tag`` in a registry, or why there is none."""
    address = (scene.environment["LAB_ADDRESS"], port)
    answer = fetch(address, f"/v2/{NAME}/manifests/{tag}", headers={"Accept": ACCEPT})
    if not answer.ok:
        return "", f"has no {NAME}:{tag}" if answer.status == 404 else str(answer)
    digest, said = f"sha256:{hashlib.sha256(answer.body.encode()).hexdigest()}", answer.headers.get("docker-content-digest")
    if said != digest:
        return "", f"says that {NAME}:{tag} is {said}, and sends {digest[:19]}"
    try:
        document = json.loads(answer.body)
        parts = [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]
    except (ValueError, KeyError, TypeError):
        return "", f"has {NAME}:{tag}, but not as an image manifest"
    for part in parts:
        if not fetch(address, f"/v2/{NAME}/blobs/{part}", method="HEAD").ok:
            return "", f"has {NAME}:{tag}, but not its part {part[:19]}"
    return digest, ""


def _two_run(scene: Scene) -> Failed | None:
    if (lacks := learner_lacks(scene, ("deployments",), NAME, "deployment.yaml")) is not None:
        return lacks
    pods = scene.pods(f"app={NAME}")
    if len(pods) != WANTED or not all(is_ready(pod) for pod in pods):
        return not_ready(pods, WANTED, "kubectl describe pod")
    return None


def _image(owner: Obj) -> str:
    return str(owner["spec"]["template"]["spec"]["containers"][0]["image"])


def _digest(pod: Obj) -> str:
    """The digest that the kubelet says the pod runs."""
    statuses = pod.get("status", {}).get("containerStatuses") or [{}]
    return str(statuses[0].get("imageID", "")).rpartition("@")[2]


def _has(scene: Scene, digest: str) -> bool:
    try:
        scene.images.inspect(digest)
    except ImageError:
        return False
    return True


@contextmanager
def _first_registry_down(scene: Scene) -> Iterator[bool]:
    """Whether it is really down."""
    registries, place = Registries(halab_home()), _place(scene, PORTS[0])
    running = [one for one in registries.registries() if one.address == place and one.pid]
    for one in running:
        registries.stop(one.name)
    try:
        yield not fetch((scene.environment["LAB_ADDRESS"], PORTS[0]), "/v2/").status
    finally:
        for one in running:
            registries.start(one.name, one.address)


@contextmanager
def _cache_empty(scene: Scene, digest: str) -> Iterator[bool]:
    """The nodes' copy of an image is forgotten, as on a new node (whether it is: the value); afterwards the names that it had are there again."""
    names = list(scene.images.inspect(digest)["RepoTags"])
    with suppress(ImageError):
        scene.images.remove(digest, force=True)
    try:
        yield not _has(scene, digest)
    finally:
        for name in names:
            with suppress(ImageError):  # the pull failed: there is nothing to name, and whoever needs it pulls again
                scene.images.tag(digest, name)
