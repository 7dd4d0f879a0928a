"""What webhooks have said about one request.

Admission runs inside a store transaction, where nothing may be awaited. So a webhook whose answer is not known yet ends the transaction
(``Needed``); the answer is got, remembered, and the transaction begins again from the request's body. What is asked is told apart by the webhook, the
object's name and version, and, where webhooks change objects, by what the object was.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

Obj = dict[str, Any]
MOST = 64  # answers about one request; more means that something goes round in circles


@dataclass(slots=True)
class Call:
    """One question to one webhook. ``hook`` is its configuration, ``request`` the AdmissionReview's request."""

    key: Hashable
    hook: Obj
    request: Obj


class Needed(Exception):
    """The transaction cannot go on before a webhook has answered."""

    def __init__(self, call: Call) -> None:
        self.call = call
        super().__init__(call.hook.get("name", ""))


@dataclass(slots=True)
class Answer:
    """``response`` is the AdmissionReview's; None if there was none, then ``failure`` says why."""

    response: Obj | None
    failure: str = ""


@dataclass(slots=True)
class Reviews:
    """The answers so far."""

    answers: dict[Hashable, Answer] = field(default_factory=dict)

    def ask(self, call: Call) -> Answer:
        """Raises Needed."""
        known = self.answers.get(call.key)
        if known is None:
            raise Needed(call)
        return known
