"""The plug-ins in Kubernetes' order: mutating ones before validation, validating ones after it."""

from __future__ import annotations

from halab.cluster.apiserver.admission import (
    accounts,
    certificates,
    defaults,
    limits,
    namespaces,
    pod_security,
    policies,
    priorities,
    quotas,
    resizes,
    restriction,
    webhooks,
)
from halab.cluster.apiserver.admission.attributes import Attributes


def mutate(attributes: Attributes) -> None:
    """May change ``attributes.obj``; raises ApiError to refuse."""
    namespaces.admit(attributes)
    limits.mutate(attributes)
    accounts.mutate(attributes)
    certificates.mutate(attributes)
    priorities.mutate(attributes)
    defaults.mutate(attributes)
    webhooks.mutate(attributes)


def validate(attributes: Attributes) -> None:
    """Raises ApiError to refuse. The quota comes last: it is charged only for what everything else accepts."""
    restriction.validate(attributes)
    certificates.validate(attributes)
    limits.validate(attributes)
    pod_security.validate(attributes)
    priorities.validate(attributes)
    resizes.validate(attributes)
    policies.validate(attributes)
    webhooks.validate(attributes)
    quotas.validate(attributes)


def validate_delete(attributes: Attributes) -> None:
    """What may not be deleted, or not by this user. Raises ApiError."""
    namespaces.admit(attributes)
    restriction.validate(attributes)
    webhooks.mutate(attributes)
    policies.validate(attributes)
    webhooks.validate(attributes)
