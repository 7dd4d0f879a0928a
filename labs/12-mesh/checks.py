"""Checks of lab 12: what the proxy between the services does with requests. Shares are judged within a statistical tolerance."""

import base64
import http.client
import json
import ssl
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path

from halab.backends.access import Obj
from halab.course.requests import Address, Answer, fetch, fetch_many, statuses
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, is_ready

SHOP, PAY, PLAIN, BANK = (f"{name}.mesh.example" for name in ("shop", "pay", "pay-plain", "bank"))
REQUESTS, FEW = 400, 60
LEAST, MOST = 16, 68  # of 400 at one in ten: 40, and four standard deviations (6 each) with some room
SLOW, LIMIT = 3000, 2.0  # milliseconds that the request would take; seconds after which it must have been given up


def ninety_ten(scene: Scene) -> Result:
    problem = _scene_is_ready(scene)
    if problem is not None:
        return problem
    answers = _ask(scene, SHOP, "/", REQUESTS)
    bad = [answer for answer in answers if not answer.ok]
    if bad:
        return Failed(f"{len(bad)} of {REQUESTS} requests for {SHOP} failed: {statuses(bad)}", _why_no_route(scene, "shop", SHOP))
    versions = Counter(answer.headers.get("x-version", "unknown") for answer in answers)
    new = versions.get("2.0", 0)
    if not LEAST <= new <= MOST:
        return Failed(
            f"{new} of {REQUESTS} went to version 2.0; one in ten should",
            "the share of a backend is its weight divided by the sum of the weights",
        )
    return Passed(f"{REQUESTS} requests: {versions['1.0']} to version 1.0, {new} to version 2.0")


def retries_hide_the_sick_pod(scene: Scene) -> Result:
    problem = _scene_is_ready(scene)
    if problem is not None:
        return problem
    seen = sum(not answer.ok for answer in _ask(scene, PLAIN, "/healthz", FEW))
    if not seen:
        return Failed(f"{PLAIN} shows no failure: the sick pod is not there to be hidden", "halab reset brings the scene back")
    bad = [answer for answer in _ask(scene, PAY, "/healthz", FEW) if not answer.ok]
    if bad:
        if any(answer.status == 404 for answer in bad):
            return Failed(f"{PAY} answers 404", _why_no_route(scene, "pay", PAY))
        return Failed(
            f"{len(bad)} of {FEW} requests for {PAY}/healthz failed: {statuses(bad)}",
            "look at the route's retry: which answers count as failures, how many attempts are there?",
        )
    asked = {answer.headers.get("x-served-by", "") for answer in _ask(scene, PAY, "/", FEW)}
    if left := _sick(scene) - asked:
        return Failed(
            f"no request for {PAY} fails, but none reaches {', '.join(sorted(left))} either: what is never asked needs no retry",
            "to which Service does the route lead, and which pods does it select?",
        )
    return Passed(f"without retries {seen} of {FEW} requests failed, with them none")


def gives_up_in_time(scene: Scene) -> Result:
    problem = _scene_is_ready(scene)
    if problem is not None:
        return problem
    answer = fetch(scene.reach.ingress(), f"/work?ms=0&wait={SLOW}", host=PAY, timeout=SLOW / 1000 + 5)
    if answer.status == 404:
        return Failed(f"{PAY} answers 404", _why_no_route(scene, "pay", PAY))
    if answer.status != 504 or answer.seconds > LIMIT:
        return Failed(
            f"a request of {SLOW / 1000:.0f} s to {PAY} was answered {answer} after {answer.seconds:.1f} s",
            "how long does the route wait? See timeouts in kubectl explain httproute.spec.rules",
        )
    quick = fetch(scene.reach.ingress(), "/", host=PAY)
    if not quick.ok:
        return Failed(f"the slow request was given up, but a quick one answers {quick}", "how long may an ordinary request take?")
    return Passed(f"given up with {answer.status} after {answer.seconds:.1f} s; a quick request answers {quick.status}")


def the_sick_pod_is_left_out(scene: Scene) -> Result:
    problem = _scene_is_ready(scene)
    if problem is not None:
        return problem
    route = scene.get("httproutes", "bank")
    if route is None or any("retry" in rule for rule in route["spec"].get("rules") or []):
        return Failed("the route bank is not as it was: it must have no retries here", "kubectl get httproute bank -o yaml")
    if left := _sick(scene) - _members(scene, "bank"):
        return Failed(
            f"{', '.join(sorted(left))} is no endpoint of the Service bank: there is nothing to eject",
            "the proxy is to find out who fails; compare the Service's selector with kubectl get pods --show-labels",
        )
    first = sum(not answer.ok for answer in _ask(scene, BANK, "/healthz", FEW))
    bad = [answer for answer in _ask(scene, BANK, "/healthz", FEW) if not answer.ok]
    if bad:
        return Failed(
            f"after {first} failures, {len(bad)} of {FEW} more requests for {BANK} still failed: {statuses(bad)}",
            _why_not_ejected(scene),
        )
    members = len([pod for pod in scene.pods("app=pay") if is_ready(pod)])
    return Passed(f"{first} failures, then none in {FEW} requests, with all {members} pods Ready")


def only_with_a_certificate(scene: Scene) -> Result:
    problem = _scene_is_ready(scene)
    if problem is not None:
        return problem
    address = scene.reach.service(scene.namespace, "ledger", 80)
    plain = fetch(address)
    if plain.ok:
        return Failed(
            f"a client without TLS was answered {plain} by ledger", "which Secret does the annotation halab.dev/mtls name?"
        )
    name = (scene.api.get("services", "ledger")["metadata"].get("annotations") or {}).get("halab.dev/mtls", "")
    secret, own = scene.get("secrets", name) if name else None, scene.get("secrets", "client-tls")
    if secret is None or own is None:
        return Failed(
            f"there is no Secret called {name if secret is None else 'client-tls'}", "kubectl get secrets; see certificates.sh"
        )
    authority = base64.b64decode(secret["data"].get("ca.crt", "")).decode()
    without = _ask_tls(address, authority, None)
    if without.ok:
        return Failed("a client without a certificate was answered", "who asks the client for one?")
    stranger = _ask_tls(address, authority, _stranger())
    if stranger.ok:
        return Failed(
            "a client with a certificate that it made itself was answered", "which authority is in the Secret's ca.crt?"
        )
    known = _ask_tls(address, authority, _pair(own))
    if not known.ok:
        return Failed(
            f"the client's certificate is refused: {known}",
            "are the two certificates of the same authority? Compare openssl x509 -noout -issuer, and ca.crt of both Secrets",
        )
    return Passed(
        f"the client with a certificate: {known}; without TLS: {plain}; without a certificate or with a stranger's: refused"
    )


def _scene_is_ready(scene: Scene) -> Failed | None:
    late = [pod["metadata"]["name"] for pod in scene.pods() if not is_ready(pod)]
    return Failed(f"not ready yet: {', '.join(late)}", "kubectl get pods") if late else None


def _ask(scene: Scene, host: str, path: str, count: int) -> list[Answer]:
    return fetch_many(scene.reach.ingress(), count, path, host=host)


def _sick(scene: Scene) -> set[str]:
    """The pods of pay that answer 503 where the users ask, whatever Kubernetes thinks of them."""
    return {str(pod["metadata"]["name"]) for pod in scene.pods("app=pay") if scene.ask_pod(pod, 80, "/healthz").status == 503}


def _members(scene: Scene, service: str) -> set[str]:
    """The pods that a Service leads to, as its EndpointSlices say."""
    slices = scene.list("endpointslices", f"kubernetes.io/service-name={service}")
    return {(end.get("targetRef") or {}).get("name", "") for one in slices for end in one.get("endpoints") or []}


def _why_no_route(scene: Scene, name: str, host: str) -> str:
    route = scene.get("httproutes", name)
    if route is None:
        return f"there is no HTTPRoute called {name}"
    if host not in route["spec"].get("hostnames", []):
        return f"for which hostnames is the route? {', '.join(route['spec'].get('hostnames', [])) or 'none'}"
    for parent in route.get("status", {}).get("parents") or []:
        for condition in parent.get("conditions") or []:
            if condition["status"] != "True":
                return f"the route says {condition['reason']}: {condition.get('message', '')}"
    return f"kubectl describe httproute {name}"


def _why_not_ejected(scene: Scene) -> str:
    text = (scene.api.get("services", "bank")["metadata"].get("annotations") or {}).get("halab.dev/traffic")
    if not text:
        return "the Service bank has no annotation halab.dev/traffic"
    try:
        return f"after how many failures in a row is a pod ejected? ejectAfter is {json.loads(text).get('ejectAfter')}"
    except (ValueError, AttributeError):
        return f"the annotation halab.dev/traffic is not JSON: {text}"


def _pair(secret: Obj) -> tuple[bytes, bytes]:
    return base64.b64decode(secret["data"]["tls.crt"]), base64.b64decode(secret["data"]["tls.key"])


def _stranger() -> tuple[bytes, bytes]:
    """A certificate that nobody vouches for, and its key."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(hours=1))
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return made.sign(key, hashes.SHA256()).public_bytes(pem), key.private_bytes(pem, form, serialization.NoEncryption())


def _ask_tls(address: Address, authority: str, pair: tuple[bytes, bytes] | None) -> Answer:
    """One request over TLS to ``ledger``, whose certificate must be of ``authority``; ``pair`` is the client's."""
    try:
        context = ssl.create_default_context(cadata=authority)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Python 3.13 asks for more than Envoy, curl and openssl verify do
        context.check_hostname = False  # dialled by address; who vouches is what matters here
        if pair is not None:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "pair.pem"
                file.touch(mode=0o600)
                file.write_bytes(b"\n".join(pair))
                context.load_cert_chain(file)
        with closing(http.client.HTTPSConnection(*address, timeout=5, context=context)) as connection:
            connection.request("GET", "/")
            response = connection.getresponse()
            return Answer(response.status, response.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, error=str(getattr(error, "reason", "") or error))
