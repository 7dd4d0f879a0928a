"""Checks of lab 13: what is allowed works, what is not is refused. Requests are the robot's own, and those of programs inside the pods."""

import base64
import json
import secrets
import time

from halab.backends.access import Obj
from halab.backends.caller import Caller
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, describe_pods, is_ready
from halab.course.vocabulary import trouble_among, until

ROBOT, SECRET, KEY_FILE = "robot", "pay-key", "/etc/pay/key"
TOKEN_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token"
FOLLOWS_WITHIN = 10.0  # seconds until a file shows the Secret's new content, once the kubelet looks at the pod
PATIENCE = 1.5  # seconds without an answer that count as forbidden
# (API group, resource) -> verb -> the only names that it is needed for, or no names where it is needed for all
NEEDED: dict[tuple[str, str], dict[str, list[str]]] = {
    ("", "pods"): {"get": [], "list": [], "watch": []},
    ("apps", "deployments"): {"get": ["web"]},
    ("apps", "deployments/scale"): {"get": ["web"], "patch": ["web"], "update": ["web"]},
}
WHAT_ELSE = "kubectl auth can-i --list --as says all that it may; what does it need?"
PORT = 8080  # at which the programs listen in their pods

# Runs inside a pod: asks every URL of its arguments at the same time, prints {url: outcome}.
ASK = f"""
import json, os, sys, threading, urllib.parse, urllib.request, socket
seen = {{}}
def ask(url):
    host = urllib.parse.urlsplit(url).hostname
    seen[url] = "the name " + host + " is not resolved"
    try:
        socket.getaddrinfo(host, 80)
    except OSError:
        return
    seen[url] = "no answer"
    try:
        seen[url] = str(urllib.request.urlopen(url, timeout={PATIENCE}).status)
    except OSError:
        pass
asking = [threading.Thread(target=ask, args=(url,), daemon=True) for url in sys.argv[1:]]
[each.start() for each in asking]
[each.join({PATIENCE} + 1.5) for each in asking]
print(json.dumps(seen), flush=True)
os._exit(0)
"""


def robot_scales_and_nothing_else(scene: Scene) -> Result:
    if scene.get("serviceaccounts", ROBOT) is None:
        return Failed(f"there is no service account called {ROBOT}", "kubectl create serviceaccount")
    space = f"/api/v1/namespaces/{scene.namespace}"
    web = f"/apis/apps/v1/namespaces/{scene.namespace}/deployments/web"
    replicas = {"spec": {"replicas": 1}}
    image = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "halab-app:2.0"}]}}}}
    robot = Caller.account(scene.api, ROBOT)
    must: dict[str, tuple[str, str, Obj | None]] = {
        "list pods": ("GET", f"{space}/pods", None),
        "get the deployment web": ("GET", web, None),
        "scale web": ("PATCH", f"{web}/scale", replicas),
    }
    must_not: dict[str, tuple[str, str, Obj | None]] = {
        "read secrets": ("GET", f"{space}/secrets", None),
        "delete pods": ("DELETE", f"{space}/pods/{_name_of(scene, 'visitor')}", None),
        "change web's image": ("PATCH", web, image),
        "scale ledger": ("PATCH", web.replace("/web", "/ledger") + "/scale", replicas),
        "list the pods of kube-system": ("GET", "/api/v1/namespaces/kube-system/pods", None),
    }
    for what, request in must.items():
        status, message = robot.attempt(*request)
        if status != 200:
            return Failed(f"{ROBOT} may not {what}: {message}", "a rule names verbs, resources (also subresources) and names")
    for what, request in must_not.items():
        status, _ = robot.attempt(*request)
        if status != 403:
            return Failed(f"{ROBOT} may {what}", WHAT_ELSE)
    if more := beyond(robot.rules(scene.namespace)):
        return Failed(f"{ROBOT} may also {', '.join(more)}", WHAT_ELSE)
    return Passed(f"{ROBOT} may {', '.join(must)}; it may not {', '.join(must_not)}")


def key_is_a_file_that_follows(scene: Scene) -> Result:
    pod = _ready(scene, "web")
    if isinstance(pod, Failed):
        return pod
    name, secret = pod["metadata"]["name"], scene.get("secrets", SECRET)
    if secret is None:
        return Failed(f"there is no Secret called {SECRET}", "the scene has it; try: halab reset")
    value = base64.b64decode(secret["data"]["key"]).decode()
    template = json.dumps(scene.api.get("deployments", "web")["spec"]["template"]["spec"])
    if value in template:
        return Failed("the key itself stands in the Deployment web", "everybody who can read Deployments can read it there")
    if (now := _cat(scene, name, KEY_FILE)) != value:
        where = "from the environment" if SECRET in template and "secretKeyRef" in template else f"at {KEY_FILE}"
        return Failed(
            f"{KEY_FILE} in {name} {'does not exist' if now is None else 'holds something else'}",
            f"web takes the key {where} now: an environment stays as it was when the program started; a volume of a Secret follows it"
            if "environment" in where
            else "which volume is mounted where? kubectl describe pod",
        )
    if _cat(scene, name, TOKEN_FILE) is not None:
        return Failed(f"{name} has a token for the API server, and never uses it", f"who mounts {TOKEN_FILE}?")
    new = f"key-{secrets.token_hex(4)}"
    scene.api.patch("secrets", SECRET, {"stringData": {"key": new}})
    scene.api.patch("pods", name, {"metadata": {"annotations": {"checked": new}}})  # a change has the kubelet look at once
    began = time.monotonic()
    if not until(lambda: _cat(scene, name, KEY_FILE) == new, FOLLOWS_WITHIN):
        return Failed(
            f"the Secret was changed; after {FOLLOWS_WITHIN:.0f} s {KEY_FILE} still holds the old key",
            "a file that is mounted alone (subPath) is a copy made at the start; a mounted directory follows",
        )
    return Passed(f"the new key was in {KEY_FILE} after {time.monotonic() - began:.1f} s, and {name} was not restarted")


def namespace_refuses_privilege(scene: Scene) -> Result:
    container = {"name": "c", "image": "halab-app:1.0", "securityContext": {"privileged": True}}
    refused = _try_pod(scene, {"metadata": {"name": "intruder"}, "spec": {"containers": [container]}})
    if not refused:
        return Failed("a privileged pod is accepted", "kubectl describe namespace; which mode refuses, and which only warns?")
    plain = {"metadata": {"name": "plain"}, "spec": {"containers": [{"name": "c", "image": "halab-app:1.0"}]}}
    if not _try_pod(scene, plain):
        return Failed(
            "a pod that may run as root is accepted", "which of the levels (privileged, baseline, restricted) forbids that?"
        )
    spec = scene.api.get("deployments", "web")["spec"]["template"]["spec"]
    complaint = _try_pod(scene, {"metadata": {"name": "web-again"}, "spec": spec})
    if complaint:
        return Failed(f"the next pod of web would be refused: {complaint}", "the message names each field that is missing")
    late = _ready(scene, "web")
    return (
        late
        if isinstance(late, Failed)
        else Passed("a privileged pod and one that may be root are refused; web's pods are taken")
    )


def ledger_hears_web_only(scene: Scene) -> Result:
    ledger = _ready(scene, "ledger")
    if isinstance(ledger, Failed):
        return ledger
    service, direct = "http://ledger/", f"http://{ledger['status']['podIP']}:{PORT}/"
    web = _ask(scene, "web", service, direct)
    if isinstance(web, Failed):
        return web
    if any(web[url] != "200" for url in (service, direct)):
        return Failed(f"web asks ledger: {web[service]}", _why_closed(scene, "ledger"))
    visitor = _ask(scene, "visitor", service, direct)
    if isinstance(visitor, Failed):
        return visitor
    if "200" in visitor.values():
        return Failed(
            "visitor asks ledger and is answered",
            "which pods does each policy select, and whom does each entry under from let in? Entries of a list are alternatives",
        )
    return Passed(f"web asks ledger: {web[service]}; visitor asks: {visitor[service]}, not even at the pod's own address")


def web_calls_ledger_only(scene: Scene) -> Result:
    visitor = _ready(scene, "visitor")
    if isinstance(visitor, Failed):
        return visitor
    there, ledger = f"http://{visitor['status']['podIP']}:{PORT}/", "http://ledger/"
    seen = _ask(scene, "web", ledger, there)
    if isinstance(seen, Failed):
        return seen
    if seen[ledger] != "200":
        hint = "whom does web ask for the address of ledger?" if "resolved" in seen[ledger] else _why_closed(scene, "web")
        return Failed(f"web asks ledger: {seen[ledger]}", hint)
    if seen[there] == "200":
        return Failed("web asks visitor and is answered", "is there a policy of the type Egress that selects web?")
    users = scene.ask_service("web", 80)[0]
    if not users.ok:
        return Failed(f"users who ask web are answered {users}", "does the policy close web's own door as well?")
    return Passed(f"web asks ledger: {seen[ledger]}, visitor: {seen[there]}; users of web: {users}")


def beyond(rules: list[Obj]) -> list[str]:
    """What these rules of RBAC allow beyond what the robot needs, in words (at most three). Pure. Anybody may ask about themselves."""
    found = set()
    for rule in rules:
        groups, names = rule.get("apiGroups") or [], rule.get("resourceNames") or []
        if set(groups) <= {"authorization.k8s.io", "authentication.k8s.io"}:
            continue
        for group in groups:
            for resource in rule.get("resources") or []:
                needed = NEEDED.get((group, resource), {})
                for verb in rule["verbs"]:
                    if verb not in needed or (needed[verb] and names != needed[verb]):
                        found.add(f"{verb} {resource}" + (f" called {' or '.join(names)}" if names else ""))
    return sorted(found)[:3]


def _try_pod(scene: Scene, pod: Obj) -> str:
    """Why the API server would refuse the pod; empty if it would not."""
    body = {"apiVersion": "v1", "kind": "Pod", **pod}
    status, message = Caller.learner(scene.api).attempt("POST", f"/api/v1/namespaces/{scene.namespace}/pods", body)
    return "" if status in (200, 201) else message


def _ready(scene: Scene, app: str) -> Obj | Failed:
    pods = scene.pods(f"app={app}")
    if len(pods) == 1 and is_ready(pods[0]):
        return pods[0]
    return Failed(
        f"{app}: {describe_pods(pods)}; one should be ready. {trouble_among(pods)}".strip(), f"kubectl describe deployment {app}"
    )


def _name_of(scene: Scene, app: str) -> str:
    return next((pod["metadata"]["name"] for pod in scene.pods(f"app={app}")), "visitor")


def _cat(scene: Scene, pod: str, file: str) -> str | None:
    done = scene.kubectl("exec", pod, "--", "cat", file)
    return done.stdout.strip() if done.returncode == 0 else None


def _ask(scene: Scene, app: str, *urls: str) -> dict[str, str] | Failed:
    """What the program of ``app`` gets when it asks these URLs."""
    pod = _ready(scene, app)
    if isinstance(pod, Failed):
        return pod
    done = scene.kubectl("exec", pod["metadata"]["name"], "--", "python3", "-c", ASK, *urls)
    if done.returncode:
        return Failed(f"kubectl exec in {pod['metadata']['name']}: {done.stderr.strip()}", "")
    return dict(json.loads(done.stdout))


def _why_closed(scene: Scene, app: str) -> str:
    names = [f"{policy['metadata']['name']}" for policy in scene.list("networkpolicies")]
    return f"policies here: {', '.join(names) or 'none'}. They speak of pods and of the pods' own ports; at which does ledger listen?"
