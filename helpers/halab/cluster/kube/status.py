"""Errors of the Kubernetes API, in Kubernetes' own words.

``ApiError`` is what any layer raises to answer a request with a failure ``Status`` object; the functions below make the kinds
of it that Kubernetes has (apimachinery's ``api/errors``). ``FieldError`` is one fault of a field (apimachinery's
``util/validation/field``); ``invalid`` gathers them in a 422 answer. Clients turn a received ``Status`` back with ``from_status``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from halab.cluster.kube.gotext import quote, quoted_list, to_json
from halab.cluster.kube.types import Obj


class HasResource(Protocol):
    """What an error needs to know of a kind; ``kinds.Kind`` is one."""

    @property
    def group(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def plural(self) -> str: ...


Resource = HasResource | str
"""A kind, or its resource's name, with the group after a dot: ``pods``, ``deployments.apps``."""


class ApiError(Exception):
    """A request failed. ``code`` is the HTTP status, ``reason`` Kubernetes' CamelCase word (may be empty), ``message`` the text.

    ``details`` are the Status' details (None leaves them out); ``headers`` are further HTTP headers of the answer.
    """

    def __init__(
        self, code: int, message: str, reason: str = "", details: Obj | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.code, self.message, self.reason, self.details = code, message, reason, details
        self.headers = headers or {}
        super().__init__(message)

    def status(self) -> Obj:
        """The ``v1`` ``Status`` object of the answer."""
        status: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        if self.message:
            status["message"] = self.message
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @property
    def causes(self) -> list[Obj]:
        return list((self.details or {}).get("causes") or [])

    @property
    def retry_after(self) -> int | None:
        """Seconds after which the client should try again, if the server said so."""
        seconds = (self.details or {}).get("retryAfterSeconds")
        return int(seconds) if seconds else None


def from_status(status: Obj, code: int) -> ApiError:
    """The error that a received ``Status`` object (or what came instead of one) tells of. ``code`` is the HTTP status."""
    if status.get("kind") != "Status":
        return ApiError(code, str(status.get("message") or f"the server answered {code}"))
    return ApiError(
        int(status.get("code") or code), str(status.get("message") or ""), str(status.get("reason") or ""), status.get("details")
    )


def is_not_found(error: BaseException) -> bool:
    return isinstance(error, ApiError) and error.reason == "NotFound"


def is_conflict(error: BaseException) -> bool:
    return isinstance(error, ApiError) and error.reason == "Conflict"


def is_already_exists(error: BaseException) -> bool:
    return isinstance(error, ApiError) and error.reason == "AlreadyExists"


def _split(resource: Resource) -> tuple[str, str]:
    """(resource, group)."""
    if isinstance(resource, str):
        plural, _, group = resource.partition(".")
        return plural, group
    return resource.plural, resource.group


def _qualified(resource: Resource) -> str:
    plural, group = _split(resource)
    return f"{plural}.{group}" if group else plural


def _details(resource: Resource, name: str = "") -> Obj:
    plural, group = _split(resource)
    details: Obj = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if plural:
        details["kind"] = plural
    return details


def not_found(resource: Resource, name: str) -> ApiError:
    return ApiError(404, f"{_qualified(resource)} {quote(name)} not found", "NotFound", _details(resource, name))


def path_not_found() -> ApiError:
    """An unknown resource of a known group: a 404 that names nothing."""
    return ApiError(404, "the server could not find the requested resource", "NotFound", {})


def already_exists(resource: Resource, name: str) -> ApiError:
    return ApiError(409, f"{_qualified(resource)} {quote(name)} already exists", "AlreadyExists", _details(resource, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: Resource, name: str, detail: str = MODIFIED) -> ApiError:
    message = f"Operation cannot be fulfilled on {_qualified(resource)} {quote(name)}: {detail}"
    return ApiError(409, message, "Conflict", _details(resource, name))


def apply_conflict(causes: list[Obj], message: str) -> ApiError:
    """Server-side apply met fields of other managers; ``causes`` are ``{"reason", "message", "field"}``."""
    return ApiError(409, message, "Conflict", {"causes": causes})


def bad_request(message: str) -> ApiError:
    return ApiError(400, message, "BadRequest")


def unauthorized(message: str = "Unauthorized") -> ApiError:
    return ApiError(401, message, "Unauthorized")


def forbidden(resource: Resource, name: str, detail: str) -> ApiError:
    """``resource`` may be empty (a path that is no resource), so may ``name`` (a list, a create without name)."""
    qualified = _qualified(resource)
    if not qualified:
        message = f"forbidden: {detail}"
    elif not name:
        message = f"{qualified} is forbidden: {detail}"
    else:
        message = f"{qualified} {quote(name)} is forbidden: {detail}"
    return ApiError(403, message, "Forbidden", _details(resource, name))


def method_not_allowed() -> ApiError:
    """The path exists, but not with this HTTP method."""
    return ApiError(405, "the server does not allow this method on the requested resource", "MethodNotAllowed", {})


def method_not_supported(resource: Resource, action: str) -> ApiError:
    message = f"{action} is not supported on resources of kind {quote(_qualified(resource))}"
    return ApiError(405, message, "MethodNotAllowed", _details(resource))


def not_acceptable(available: Iterable[str]) -> ApiError:
    message = f"406: Not Acceptable\n\nAvailable representations: {', '.join(available)}"
    return ApiError(406, message, "NotAcceptable", {})


BODY_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")


def unsupported_media_type(accepted: Iterable[str] = BODY_TYPES) -> ApiError:
    """The body of a create or an update is of a type that is not read."""
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return ApiError(415, message, "UnsupportedMediaType")


def unsupported_patch_type() -> ApiError:
    return ApiError(415, "415: Unsupported Media Type", "UnsupportedMediaType", {})


def gone(message: str) -> ApiError:
    return ApiError(410, message, "Gone")


def expired(message: str) -> ApiError:
    """The asked revision is no longer in the history."""
    return ApiError(410, message, "Expired")


def timeout(message: str, retry_after: int = 0) -> ApiError:
    """The request could not be finished in time; ``message`` is what the server was doing."""
    details: Obj = {"retryAfterSeconds": retry_after} if retry_after else {}
    return ApiError(504, f"Timeout: {message}", "Timeout", details, _retry(retry_after))


def server_timeout(resource: Resource, operation: str, retry_after: int = 0) -> ApiError:
    message = f"The {operation} operation against {_qualified(resource)} could not be completed at this time, please try again."
    more: Obj = {"retryAfterSeconds": retry_after} if retry_after else {}
    return ApiError(500, message, "ServerTimeout", _details(resource) | more, _retry(retry_after))


def too_large(message: str) -> ApiError:
    return ApiError(413, f"Request entity too large: {message}", "RequestEntityTooLarge")


def too_many_requests(message: str, retry_after: int = 0, causes: list[Obj] | None = None) -> ApiError:
    details: Obj = {}
    if causes:
        details["causes"] = causes
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    return ApiError(429, message, "TooManyRequests", details or None, _retry(retry_after))


def service_unavailable(message: str) -> ApiError:
    return ApiError(503, message, "ServiceUnavailable")


def internal(message: str) -> ApiError:
    details = {"causes": [{"message": message}]}
    return ApiError(500, f"Internal error occurred: {message}", "InternalError", details)


def unclassified(message: str) -> ApiError:
    """A plain Go error that reached the client: 500 without a reason."""
    return ApiError(500, message)


def _retry(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)} if seconds else {}


class _Omitted:
    """Stands for a value that is not printed."""


OMITTED: Any = _Omitted()
_TEXT = {
    "FieldValueNotFound": "Not found",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueTypeInvalid": "Invalid value",
    "InternalError": "Internal error",
}
_WITHOUT_VALUE = frozenset({"FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong", "InternalError"})


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault: ``path`` as Kubernetes writes it (``spec.containers[0].image``), ``reason`` (``FieldValueInvalid`` ...), ``detail``, and the value."""

    path: str
    reason: str
    detail: str = ""
    value: Any = OMITTED

    def body(self) -> str:
        """The text without the path: what a cause of the Status says."""
        text = _TEXT[self.reason]
        if self.reason not in _WITHOUT_VALUE and self.value is not OMITTED:
            text += f": {_printed(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.path}: {self.body()}"

    def cause(self) -> Obj:
        return {"reason": self.reason, "message": self.body(), "field": self.path}


def _printed(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return to_json(value)


def required(path: str, detail: str = "") -> FieldError:
    return FieldError(path, "FieldValueRequired", detail)


def invalid_value(path: str, value: Any, detail: str = "") -> FieldError:
    return FieldError(path, "FieldValueInvalid", detail, value)


def type_invalid(path: str, value: Any, detail: str = "") -> FieldError:
    return FieldError(path, "FieldValueTypeInvalid", detail, value)


def not_supported(path: str, value: Any, supported: Sequence[str] = ()) -> FieldError:
    """``supported`` is listed in the given order: Kubernetes sorts most such lists, the caller knows which."""
    detail = f"supported values: {quoted_list(supported)}" if supported else ""
    return FieldError(path, "FieldValueNotSupported", detail, value)


def duplicate(path: str, value: Any, detail: str = "") -> FieldError:
    return FieldError(path, "FieldValueDuplicate", detail, value)


def forbidden_field(path: str, detail: str = "") -> FieldError:
    return FieldError(path, "FieldValueForbidden", detail)


def not_found_field(path: str, value: Any) -> FieldError:
    return FieldError(path, "FieldValueNotFound", "", value)


def too_long(path: str, limit: int) -> FieldError:
    return FieldError(path, "FieldValueTooLong", f"may not be more than {limit} bytes" if limit >= 0 else "value is too long")


def too_many(path: str, actual: int, limit: int) -> FieldError:
    unit = "item" if limit == 1 else "items"
    return FieldError(path, "FieldValueTooMany", f"must have at most {limit} {unit}", actual)


def internal_field(path: str, detail: str) -> FieldError:
    return FieldError(path, "InternalError", detail)


def invalid(kind: HasResource, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422: ``errors`` of the object ``name``; equal messages are said once."""
    texts = list(dict.fromkeys(str(e) for e in errors))
    qualified = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    message = f"{qualified} {quote(name)} is invalid"
    if texts:
        message += f": {texts[0]}" if len(texts) == 1 else f": [{', '.join(texts)}]"
    details: Obj = {}
    if name:
        details["name"] = name
    if kind.group:
        details["group"] = kind.group
    if kind.kind:
        details["kind"] = kind.kind
    if errors:
        details["causes"] = [e.cause() for e in errors]
    return ApiError(422, message, "Invalid", details)
