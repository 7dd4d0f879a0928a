"""Admission webhooks: servers that change (mutating) or refuse (validating) what is written.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/. Which webhooks are asked, in which order, and what their
answers mean is here; ``reviews`` keeps the answers, ``callout`` gets them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import orjson

from halab.cluster.apiserver import convert
from halab.cluster.apiserver.admission import matching
from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.apiserver.admission.policies import evaluation_of
from halab.cluster.apiserver.admission.reviews import Answer, Call
from halab.cluster.kube import decode, kinds, status
from halab.cluster.kube.cel.engine import EvaluationError
from halab.cluster.kube.defaults import apply_defaults
from halab.cluster.kube.gotext import quote
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.patch import json_patch
from halab.cluster.kube.schema import node_for

Obj = dict[str, Any]
_REVIEWS = frozenset({
    kinds.TOKEN_REVIEWS, kinds.SUBJECT_ACCESS_REVIEWS, kinds.SELF_SUBJECT_ACCESS_REVIEWS, kinds.LOCAL_SUBJECT_ACCESS_REVIEWS,
    kinds.SELF_SUBJECT_REVIEWS, kinds.SELF_SUBJECT_RULES_REVIEWS,
})  # fmt: skip


def mutate(attributes: Attributes) -> None:
    """Ask the mutating webhooks, and change the object as they say. Raises Needed, and ApiError for a refusal or a failure."""
    if attributes.reviews is None or matching.exempt(attributes.kind):
        return
    asked: list[tuple[Obj, str]] = []
    for hook in _hooks(kinds.MUTATING_WEBHOOKS, attributes):
        asked.append((hook, _mutate(hook, attributes, "first")))
    for hook, after in asked:
        if hook.get("reinvocationPolicy") == "IfNeeded" and _digest(attributes.obj) != after:
            _mutate(hook, attributes, "again")


def _mutate(hook: Obj, attributes: Attributes, turn: str) -> str:
    """Ask one webhook; returns a digest of the object as it left it."""
    answer = _ask(hook, attributes, ("mutate", turn, _digest(attributes.obj)))
    if answer is not None and (patch := answer.get("patch")):
        _apply(hook, attributes, patch)
    return _digest(attributes.obj)


def _apply(hook: Obj, attributes: Attributes, patch: str) -> None:
    try:
        operations = orjson.loads(base64.b64decode(patch))
    except (ValueError, binascii.Error) as error:
        raise status.internal(f"received invalid webhook response: {error}") from None
    if attributes.operation == "DELETE":
        raise status.internal(
            f"admission webhook {quote(hook['name'])} attempted to modify the object, which is not supported for this operation"
        )
    kind = attributes.about or attributes.kind
    changed = json_patch(_shown(hook, attributes, attributes.obj) or {}, operations)
    if hook["shown"] != attributes.kind:
        plain = {name: value for name, value in changed.items() if name not in ("kind", "apiVersion")}
        changed = {"kind": kind.kind, "apiVersion": kind.api_version, **convert.shown(kind, convert.stored(hook["shown"], plain))}
    obj, _ = decode.decode_object(orjson.loads(orjson.dumps(changed)), kind, node_for(kind), "Ignore")
    apply_defaults(kind, obj)
    attributes.obj.clear()
    attributes.obj.update(obj)


def validate(attributes: Attributes) -> None:
    """Ask the validating webhooks. Raises Needed, and ApiError for a refusal or a failure."""
    if attributes.reviews is None or matching.exempt(attributes.kind):
        return
    for hook in _hooks(kinds.VALIDATING_WEBHOOKS, attributes):
        _ask(hook, attributes, ("validate",))


def _hooks(kind: Kind, attributes: Attributes) -> Iterator[Obj]:
    """The webhooks that are to be asked, by the names of their configurations. What they match is looked at when it is their turn."""
    if attributes.kind in _REVIEWS:
        return
    for configuration in sorted(attributes.all(kind), key=lambda found: str(found["metadata"]["name"])):
        for hook in configuration.get("webhooks") or ():
            shown = matching.matched(hook, "rules", attributes)
            if shown is not None and _conditions(hook, attributes):
                yield {**hook, "configuration": configuration["metadata"]["uid"], "shown": shown}


def _conditions(hook: Obj, attributes: Attributes) -> bool:
    wanted = hook.get("matchConditions")
    if not wanted:
        return True
    evaluation = evaluation_of(attributes)
    failure = ""
    for condition in wanted:
        try:
            if evaluation.evaluate(condition["expression"]) is not True:
                return False
        except EvaluationError as error:
            failure = failure or str(error)
    if failure and hook.get("failurePolicy", "Fail") == "Fail":
        raise attributes.forbidden(failure)
    return not failure


def _ask(hook: Obj, attributes: Attributes, phase: tuple[str, ...]) -> Obj | None:
    """The webhook's response; None if it failed and that is to be ignored. Raises Needed, and ApiError."""
    assert attributes.reviews is not None
    meta = ((attributes.obj or attributes.old or {}).get("metadata")) or {}
    version = ((attributes.old or {}).get("metadata") or {}).get("resourceVersion", "")
    name = attributes.name or meta.get("generateName", "") if attributes.operation == "CREATE" else attributes.name
    named = meta.get("generateName") or name
    key = (
        phase,
        hook["configuration"],
        hook["name"],
        attributes.operation,
        attributes.kind,
        attributes.namespace,
        named,
        version,
    )
    request = matching.request_of(attributes, str(uuid.uuid4()), hook["shown"])
    request["object"] = _shown(hook, attributes, attributes.obj)
    request["oldObject"] = _shown(hook, attributes, attributes.old)
    answer = attributes.reviews.ask(Call(key, hook, request))
    if answer.response is None:
        if hook.get("failurePolicy", "Fail") == "Ignore":
            return None
        raise status.internal(f'failed calling webhook "{hook["name"]}": failed to call webhook: {answer.failure}')
    attributes.warnings += [w for w in answer.response.get("warnings") or () if w not in attributes.warnings]
    if not answer.response.get("allowed"):
        raise refusal(hook["name"], answer)
    return answer.response


def _shown(hook: Obj, attributes: Attributes, obj: Obj | None) -> Obj | None:
    """An object as the webhook's rules name it: of another version, where they matched that."""
    shown: Kind = hook["shown"]
    if shown == attributes.kind or not obj:
        return matching.whole(attributes, obj)
    other = convert.shown(shown, convert.stored(attributes.kind, deepcopy(obj)))
    plain = {name: value for name, value in other.items() if name not in ("kind", "apiVersion")}
    return {"kind": shown.kind, "apiVersion": shown.api_version, **plain}


def refusal(name: str, answer: Answer) -> status.ApiError:
    """The error of a webhook that said no: its own status, with a message that says who it was."""
    result = (answer.response or {}).get("status") or {}
    denied = f'admission webhook "{name}" denied the request'
    why = result.get("message") or result.get("reason")
    message = f"{denied}: {why}" if why else f"{denied} without explanation"
    code = result.get("code") or 0
    return status.ApiError(code if code >= 400 else 400, message, result.get("reason") or "", result.get("details"))


def _digest(obj: Obj | None) -> str:
    """What an object is, but for what differs from one try to the next."""
    if not obj:
        return ""
    meta = {key: value for key, value in (obj.get("metadata") or {}).items() if key not in _VOLATILE}
    if meta.get("generateName"):
        meta.pop("name", None)
    text = orjson.dumps({**obj, "metadata": meta}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(_TOKEN_VOLUME.sub(b"kube-api-access", text)).hexdigest()


_TOKEN_VOLUME = re.compile(rb"kube-api-access-[a-z0-9]{5}")  # named anew each time a pod is admitted
_VOLATILE = frozenset({"managedFields", "uid", "creationTimestamp", "resourceVersion"})
