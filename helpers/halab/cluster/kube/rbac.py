"""Role-based access control: who may do what, evaluated from Roles and bindings.

``Policy`` is a snapshot of the four kinds of objects; the API server makes a new one when any of them changes. Members of
``system:masters`` may do everything, whatever the objects say. https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from halab.cluster.kube.gotext import quote, quoted_list
from halab.cluster.kube.selectors import SelectorError, from_label_selector
from halab.cluster.kube.types import Obj

SUPERUSERS = "system:masters"
SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class User:
    """Who asks: a name and the groups it belongs to (``system:authenticated`` among them)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked.

    A verb on a resource (``group``, ``resource``, ``subresource``, ``namespace``, ``name``), or on a ``path`` that is none.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def is_resource(self) -> bool:
        return not self.path


@dataclass(frozen=True, slots=True)
class Decision:
    """``allowed``; ``reason`` says by which binding, or which roles could not be found."""

    allowed: bool
    reason: str = ""
    error: str = ""


_SUPERUSER = Decision(True)
_REMEMBERED = 4096  # decisions a policy keeps before it forgets them all


class Policy:
    """All roles and bindings at one moment. Rules of aggregated cluster roles are worked out here, not read from the object."""

    def __init__(
        self,
        cluster_roles: Iterable[Obj] = (),
        roles: Iterable[Obj] = (),
        cluster_role_bindings: Iterable[Obj] = (),
        role_bindings: Iterable[Obj] = (),
    ) -> None:
        self._cluster_roles = {role["metadata"]["name"]: role for role in cluster_roles}
        self._roles = {(role["metadata"].get("namespace", ""), role["metadata"]["name"]): role for role in roles}
        self._wide = tuple(cluster_role_bindings)
        self._narrow: dict[str, list[Obj]] = {}
        for binding in role_bindings:
            self._narrow.setdefault(binding["metadata"].get("namespace", ""), []).append(binding)
        self._aggregated: dict[str, list[Obj]] = {}
        self._decisions: dict[tuple[User, Attributes], Decision] = {}

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        """Whether the user may do it. Nothing can deny: without a rule that allows it, it is not allowed."""
        if SUPERUSERS in user.groups:
            return _SUPERUSER
        key = (user, attributes)
        decision = self._decisions.get(key)
        if decision is None:
            if len(self._decisions) >= _REMEMBERED:
                self._decisions.clear()
            decision = self._decisions[key] = self._decide(user, attributes)
        return decision

    def _decide(self, user: User, attributes: Attributes) -> Decision:
        missing: list[str] = []
        for binding, subject, rules in self._bound(user, attributes.namespace, missing):
            if any(rule_allows(rule, attributes) for rule in rules):
                return Decision(True, _reason(binding, subject))
        if not missing:
            return Decision(False)
        problems = missing[0] if len(missing) == 1 else f"[{', '.join(missing)}]"
        return Decision(False, f"RBAC: {problems}", problems)

    def rules(self, user: User, namespace: str) -> list[Obj]:
        """Every rule that holds for the user in a namespace ("": cluster-wide only).

        Used by SelfSubjectRulesReview and escalation checks.
        """
        if SUPERUSERS in user.groups:
            return [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]
        return [rule for _, _, rules in self._bound(user, namespace, []) for rule in rules]

    def escalation(self, user: User, namespace: str, rules: Sequence[Obj]) -> str | None:
        """What a 403 says when the user would grant rules that it does not hold; None if it holds them all."""
        held = self.rules(user, namespace)
        missing = [
            rule for wanted in rules for rule in _broken_down(wanted) if not any(_covers(rule_held, rule) for rule_held in held)
        ]
        if not missing:
            return None
        lines = "\n".join(_rule_text(rule) for rule in _compact(missing))
        groups = f"[{quoted_list(user.groups).replace(', ', ' ')}]"
        return f"user {quote(user.name)} (groups={groups}) is attempting to grant RBAC permissions not currently held:\n{lines}"

    def role_rules(self, reference: Obj, namespace: str) -> list[Obj] | None:
        """The rules of a ``roleRef``; None if the role does not exist."""
        name = reference.get("name", "")
        if reference.get("kind") == "ClusterRole":
            role = self._cluster_roles.get(name)
            return None if role is None else self._cluster_rules(name, role)
        role = self._roles.get((namespace, name))
        return None if role is None else role.get("rules") or []

    def _cluster_rules(self, name: str, role: Obj) -> list[Obj]:
        if not role.get("aggregationRule"):
            return role.get("rules") or []
        if name not in self._aggregated:
            self._aggregated[name] = []  # roles may aggregate each other
            self._aggregated[name] = aggregate(role, self._cluster_roles.values(), self._cluster_rules)
        return self._aggregated[name]

    def _bound(self, user: User, namespace: str, missing: list[str]) -> Iterator[tuple[Obj, Obj, list[Obj]]]:
        """(binding, subject, rules) of everything bound to the user, cluster-wide first.

        Roles that do not exist are noted in ``missing``.
        """
        for binding in (*self._wide, *(self._narrow.get(namespace, ()) if namespace else ())):
            home = binding["metadata"].get("namespace", "")
            subject = next((s for s in binding.get("subjects") or () if _is(user, s, home)), None)
            if subject is None:
                continue
            reference = binding.get("roleRef") or {}
            rules = self.role_rules(reference, home)
            if rules is None:
                kind = "clusterrole" if reference.get("kind") == "ClusterRole" else "role"
                missing.append(f"{kind}.rbac.authorization.k8s.io {quote(reference.get('name', ''))} not found")
            else:
                yield binding, subject, rules


def _own_rules(name: str, role: Obj) -> list[Obj]:
    return role.get("rules") or []


def aggregate(role: Obj, cluster_roles: Iterable[Obj], rules_of: Callable[[str, Obj], list[Obj]] = _own_rules) -> list[Obj]:
    """The rules of an aggregated cluster role.

    Those of every role that its selectors match, in order of names, without repetitions.
    """
    try:
        selectors = [from_label_selector(s) for s in role["aggregationRule"].get("clusterRoleSelectors") or ()]
    except SelectorError:
        return role.get("rules") or []
    rules: list[Obj] = []
    for other in sorted(cluster_roles, key=lambda r: str(r["metadata"]["name"])):
        if other["metadata"]["name"] == role["metadata"].get("name"):
            continue
        if any(selector.matches(other["metadata"].get("labels")) for selector in selectors):
            rules += [rule for rule in rules_of(other["metadata"]["name"], other) if rule not in rules]
    return rules


def denial(user: User, attributes: Attributes, reason: str = "") -> str:
    """What a 403 says after "is forbidden: "."""
    if attributes.is_resource:
        resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
        where = f"in the namespace {quote(attributes.namespace)}" if attributes.namespace else "at the cluster scope"
        text = f"cannot {attributes.verb} resource {quote(resource)} in API group {quote(attributes.group)} {where}"
    else:
        text = f"cannot {attributes.verb} path {quote(attributes.path)}"
    return f"User {quote(user.name)} {text}" + (f": {reason}" if reason else "")


def rule_allows(rule: Mapping[str, Sequence[str]], attributes: Attributes) -> bool:
    """Whether one PolicyRule allows what is asked."""
    if not _has(rule.get("verbs"), attributes.verb):
        return False
    if not attributes.is_resource:
        return any(_path_matches(url, attributes.path) for url in rule.get("nonResourceURLs") or ())
    if not _has(rule.get("apiGroups"), attributes.group):
        return False
    names = rule.get("resourceNames")
    if names and attributes.name not in names:
        return False
    return _resource_matches(rule.get("resources") or (), attributes.resource, attributes.subresource)


def _has(values: Sequence[str] | None, value: str) -> bool:
    return bool(values) and ("*" in values or value in values)  # type: ignore[operator]


def _resource_matches(resources: Sequence[str], resource: str, subresource: str) -> bool:
    combined = f"{resource}/{subresource}" if subresource else resource
    return any(r == "*" or r == combined or (subresource != "" and r == f"*/{subresource}") for r in resources)


def _path_matches(url: str, path: str) -> bool:
    return url == "*" or url == path or (url.endswith("*") and path.startswith(url.rstrip("*")))


def _is(user: User, subject: Obj, namespace: str) -> bool:
    name = subject.get("name", "")
    match subject.get("kind"):
        case "User":
            return bool(user.name == name)
        case "Group":
            return name in user.groups
        case "ServiceAccount":
            home = subject.get("namespace") or namespace
            return bool(home) and user.name == f"{SERVICE_ACCOUNT}{home}:{name}"
    return False


def _reason(binding: Obj, subject: Obj) -> str:
    metadata, reference = binding["metadata"], binding.get("roleRef") or {}
    kind = "RoleBinding" if metadata.get("namespace") else "ClusterRoleBinding"
    name = f"{metadata['name']}/{metadata['namespace']}" if metadata.get("namespace") else metadata["name"]
    who = subject.get("name", "")
    if subject.get("kind") == "ServiceAccount":
        who = f"{who}/{subject.get('namespace', '')}"
    return (
        f"RBAC: allowed by {kind} {quote(name)} of {reference.get('kind', '')} {quote(reference.get('name', ''))} "
        f"to {subject.get('kind', '')} {quote(who)}"
    )


# --- escalation -----------------------------------------------------------------------------------------------------------------


def _broken_down(rule: Obj) -> Iterator[Obj]:
    """The rule as rules of one verb and one resource or URL each."""
    for verb in rule.get("verbs") or ():
        for url in rule.get("nonResourceURLs") or ():
            yield {"verbs": [verb], "nonResourceURLs": [url]}
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                names = rule.get("resourceNames") or [None]
                for name in names:
                    single: Obj = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
                    yield single if name is None else {**single, "resourceNames": [name]}


def _covers(held: Obj, wanted: Obj) -> bool:
    """Whether a held rule includes a wanted one that was broken down."""
    if not _has(held.get("verbs"), wanted["verbs"][0]):
        return False
    if "nonResourceURLs" in wanted:
        return any(_path_matches(url, wanted["nonResourceURLs"][0]) for url in held.get("nonResourceURLs") or ())
    if not _has(held.get("apiGroups"), wanted["apiGroups"][0]):
        return False
    resource, _, subresource = wanted["resources"][0].partition("/")
    if not _resource_matches(held.get("resources") or (), resource, subresource):
        return False
    names = held.get("resourceNames")
    return not names or ("resourceNames" in wanted and wanted["resourceNames"][0] in names)


def _compact(rules: Sequence[Obj]) -> list[Obj]:
    """Rules that differ in their verb alone become one."""
    found: dict[str, Obj] = {}
    for rule in rules:
        rest = {key: value for key, value in rule.items() if key != "verbs"}
        present = found.setdefault(repr(rest), {**rest, "verbs": []})
        present["verbs"] = present["verbs"] + [verb for verb in rule["verbs"] if verb not in present["verbs"]]
    return list(found.values())


def _rule_text(rule: Obj) -> str:
    named = (
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("ResourceNames", "resourceNames"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("Verbs", "verbs"),
    )
    return "{" + ", ".join(f"{title}:[{quoted_list(rule[key])}]" for title, key in named if rule.get(key)) + "}"
