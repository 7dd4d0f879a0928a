"""Which objects a list, a watch or a deletecollection is about: namespace, label selector, field selector."""

from __future__ import annotations

from dataclasses import dataclass

from halab.cluster.apiserver.request import Request
from halab.cluster.kube import crd, fields, status
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.selectors import FieldSelector, Selector, SelectorError, parse_field_selector, parse_label_selector
from halab.cluster.store.cache import Entry


@dataclass(slots=True)
class Selection:
    """A conjunction. ``name`` is set if the field selector (or the path) asks for one name."""

    kind: Kind
    namespace: str
    labels: Selector
    fields: FieldSelector
    name: str | None = None

    @property
    def all(self) -> bool:
        """Whether every object of the namespace is meant."""
        return self.labels.empty and self.fields.empty and self.name is None

    def matches(self, entry: Entry) -> bool:
        if self.name is not None and entry.name != self.name:
            return False
        if not self.labels.empty and not self.labels.matches(entry.labels):
            return False
        if self.fields.empty:
            return True
        values = entry.fields
        for term in self.fields.terms:
            if term.path == "metadata.name":
                value = entry.name
            elif term.path == "metadata.namespace":
                value = entry.namespace
            elif values is not None:
                value = values.get(term.path, "")
            else:  # a field that a custom resource's definition offers
                value = fields.field_value(self.kind, entry.obj(), term.path)
            if (value == term.value) is not term.equal:
                return False
        return True

    def filter(self, entries: list[Entry]) -> list[Entry]:
        return entries if self.all else [entry for entry in entries if self.matches(entry)]


def selection_of(request: Request, kind: Kind) -> Selection:
    """Raises a 400 with Kubernetes' words for a selector that does not parse or a field that cannot be selected by."""
    try:
        labels = parse_label_selector(request.param("labelSelector"))
        chosen = parse_field_selector(request.param("fieldSelector"))
        if not chosen.empty:
            fields.check_fields(kind, chosen, crd.selectable_fields(kind) if kind.custom else None)
    except SelectorError as error:
        raise status.bad_request(str(error)) from None
    name = request.name or chosen.exact("metadata.name")
    return Selection(kind, request.namespace, labels, fields.as_stored(kind, chosen), name)
