from __future__ import annotations

import base64

from dataplane_objects import planned, service, slice_of, world

from halab.cluster.dataplane.certificates import authority_of
from halab.cluster.dataplane.model import Mutual
from halab.cluster.dataplane.plan import Plan

MUTUAL = Mutual("CHAIN", "KEY", "AUTHORITY")


def plan_of(found: Mutual | None) -> Plan:
    asked = world(service("ledger", annotations={"halab.dev/mtls": "ledger-tls"}), slices=(slice_of("ledger", "127.7.1.2"),))
    asked.mutual = lambda namespace, name: found if (namespace, name) == ("default", "ledger-tls") else None
    return planned(asked)


def test_a_service_under_mutual_tls_requires_a_certificate_of_its_authority() -> None:
    listener = next(each for each in plan_of(MUTUAL).listeners if each["name"] == "ip/default/ledger:80")
    for chain in listener["filter_chains"]:
        tls = chain["transport_socket"]["typed_config"]
        assert tls["require_client_certificate"] is True
        context = tls["common_tls_context"]
        assert context["validation_context"]["trusted_ca"]["inline_string"] == "AUTHORITY"
        assert context["tls_certificates"][0]["certificate_chain"]["inline_string"] == "CHAIN"


def test_without_a_usable_secret_it_takes_no_connection_at_all() -> None:
    assert all(each["name"] != "ip/default/ledger:80" for each in plan_of(None).listeners)


def test_an_authority_that_is_missing_or_no_certificate_is_none() -> None:
    for text in (b"", b"not a certificate"):
        assert authority_of({"data": {"ca.crt": base64.b64encode(text).decode()}}) == ""
    assert authority_of({}) == ""
