"""Checks of lab 04: routing by host and path, and TLS with the learner's own certificate."""

from halab.course.requests import Answer
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene

HOST, OTHER, SHOP_PAGE = "nginx.example.com", "other.example.com", "the shop is open"


def host_reaches_the_app(scene: Scene) -> Result:
    answer = scene.ask_ingress(HOST)[0]
    if not answer.ok:
        return Failed(f"a request for {HOST} gets: {answer}", _why(scene, answer))
    if SHOP_PAGE in answer.body:
        return Failed(f"{HOST}/ is answered by the shop", "which Service does the path / lead to?")
    stray = scene.ask_ingress(OTHER)[0]
    if stray.status != 404:
        return Failed(
            f"{HOST} is answered, but so is {OTHER} ({stray}); it should get 404",
            "a rule without a host matches every host; a default backend answers all that is left over",
        )
    return Passed(f"{HOST} gets {answer.status}, {OTHER} gets {stray.status}")


def path_reaches_the_shop(scene: Scene) -> Result:
    shop, home, near = (scene.ask_ingress(HOST, path)[0] for path in ("/shop/", "/", "/shopping"))
    if SHOP_PAGE not in shop.body:
        return Failed(f"{HOST}/shop/ gets {shop}" + (", but not from the shop" if shop.ok else ""), _why(scene, shop))
    if SHOP_PAGE in home.body or not home.ok:
        return Failed(
            f"{HOST}/ should still reach the app, it gets {home}" + (" from the shop" if SHOP_PAGE in home.body else ""),
            "each path needs its own entry under paths; the longest match wins",
        )
    if SHOP_PAGE in near.body:
        return Failed(f"{HOST}/shopping is answered by the shop", "pathType decides whether a path matches whole elements")
    return Passed("/shop/ reaches the shop, / the app")


def tls_is_served(scene: Scene) -> Result:
    answer = scene.ask_ingress(HOST, tls=True)[0]
    if not answer.ok:
        return Failed(
            f"https for {HOST} gets: {answer}",
            _why(scene, answer)
            if answer.status
            else "an Ingress serves https once spec.tls names a Secret with a certificate for the host",
        )
    names = scene.certificate_names(HOST)
    if HOST not in names:
        return Failed(
            f"https answers, but its certificate is for {', '.join(names) or 'nobody'}",
            f"is there a Secret of type kubernetes.io/tls with a certificate for {HOST}, and does spec.tls name it?",
        )
    return Passed(f"https for {HOST} answers {answer.status} with a certificate for {', '.join(names)}")


def _why(scene: Scene, answer: Answer) -> str:
    """Where to look, from what the Ingress objects of the lab are."""
    ingresses = scene.list("ingresses")
    if not ingresses:
        return "there is no Ingress in this lab's namespace yet"
    hosts = [str(rule.get("host", "*")) for item in ingresses for rule in item["spec"].get("rules") or []]
    if HOST not in hosts:
        return f"the rules of this lab's Ingresses are for: {', '.join(hosts) or 'no host'}"
    if answer.status == 503:
        return "the rule matches, but its Service has no ready pod or does not exist: kubectl describe ingress names the backends"
    if answer.status == 404:
        return "the host matches; does a path of the rule match too?"
    return "kubectl describe ingress shows rules, backends and events"
