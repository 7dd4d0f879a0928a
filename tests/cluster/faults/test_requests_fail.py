"""Failures of requests, names, images and changes."""

from __future__ import annotations

import socket

import pytest
from dnslib import DNSRecord

from halab.cluster.supervisor import manage
from halab.errors import UsageError
from halab.images.registry.manage import Registries
from halab.settings import halab_home

from .conftest import NAMESPACE, REPLICAS, Shop, ready, until, waiting


def test_latency_is_added_to_every_request_and_taken_away_again(shop: Shop) -> None:
    with shop.inject("latency", "web", seconds=0.4):
        assert until(lambda: shop.ask().seconds >= 0.4)
        with shop.users(rate=20) as users:
            users.wait(0.5)
        assert users.availability().latency_ms["50"] >= 400
    assert until(lambda: shop.ask().seconds < 0.4)


def test_errors_are_answered_in_the_services_place(shop: Shop) -> None:
    with shop.inject("errors", "service/web", status=500, percent=100):
        assert until(lambda: shop.ask().status == 500)
        with shop.users() as users:
            pass
    seen = users.availability()
    assert seen.failures.get("500", 0) >= 10


def test_dropped_connections_are_cut_without_an_answer(shop: Shop) -> None:
    with shop.inject("connections-dropped", "web", percent=100):
        assert until(lambda: shop.ask().status == 0)
        with shop.users() as users:
            pass
    assert users.availability().success_rate < 0.5


def test_an_image_that_cannot_be_pulled_stops_the_rollout_not_the_users(shop: Shop) -> None:
    with shop.users() as users, shop.inject("image-unpullable", "deployment/web"):
        shop.wait("pods", lambda pods: any(waiting(pod) in ("ErrImagePull", "ImagePullBackOff") for pod in pods))
        assert len(shop.pods()) == REPLICAS
    assert users.availability().success_rate > 0.99
    shop.wait("pods", lambda pods: len(pods) == REPLICAS and all(map(ready, pods)))


def test_a_bad_configuration_of_a_deployment_stops_its_rollout_not_the_users(shop: Shop) -> None:
    with shop.users() as users, shop.inject("bad-config", "deployment/web"):
        shop.wait("pods", lambda pods: any(waiting(pod) == "CrashLoopBackOff" for pod in pods))
        assert len(shop.pods()) == REPLICAS
        broken = next(pod for pod in shop.api.list("pods") if not ready(pod))
        assert "configuration error" in shop.api.log(broken["metadata"]["name"])
    assert users.availability().success_rate > 0.99


def test_a_bad_configuration_of_a_service_hurts_everybody_though_all_pods_are_ready(shop: Shop) -> None:
    with shop.inject("bad-config", "service/web"):
        assert until(lambda: shop.ask().status == 0)
        with shop.users() as users:
            pass
        assert len(shop.pods()) == REPLICAS
    assert users.availability().ok == 0
    assert until(lambda: shop.ask().status == 200)


def test_what_the_learner_has_repaired_is_left_as_it_is(shop: Shop) -> None:
    handle = shop.inject("errors", "web", percent=100)
    shop.api.patch("services", "web", {"metadata": {"annotations": {"halab.dev/fault": '{"delay": 0.01}'}}})
    handle.heal()
    assert shop.api.get("services", "web")["metadata"]["annotations"]["halab.dev/fault"] == '{"delay": 0.01}'
    shop.api.patch("services", "web", {"metadata": {"annotations": {"halab.dev/fault": None}}})


def test_with_dns_down_names_are_not_found_but_known_addresses_are(shop: Shop) -> None:
    address = shop.backend.service("kube-system", "kube-dns", 53)

    def resolves() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(0.5)
            asker.sendto(DNSRecord.question(f"web.{NAMESPACE}.svc.cluster.local").pack(), address)
            try:
                return bool(DNSRecord.parse(asker.recv(4096)).rr)
            except TimeoutError:
                return False

    assert resolves()
    with shop.inject("dns-down"), shop.users() as users:
        assert until(lambda: not resolves())
    assert not users.availability().failures
    assert until(resolves)


def test_a_registry_that_is_down_is_refused_and_comes_back_at_its_address(shop: Shop) -> None:
    registries = Registries(halab_home())
    host, _, port = registries.start("default", "127.0.0.1:0").address.rpartition(":")

    def answers() -> bool:
        with socket.socket() as asker:
            return asker.connect_ex((host, int(port))) == 0

    try:
        with shop.inject("registry-down"), shop.users() as users:
            assert not answers()
        assert answers()
        assert not users.availability().failures
    finally:
        registries.stop("default", purge=True)
    with pytest.raises(UsageError, match="halab image registry start"):
        shop.inject("registry-down")


def test_without_its_data_plane_every_request_is_refused_though_pods_answer(shop: Shop) -> None:
    with shop.users() as users:
        with shop.inject("dataplane-down"):
            assert until(lambda: shop.ask().status == 0)
            assert shop.ask(shop.pods()[0]["metadata"]["name"]).status == 200
            users.wait(0.3)
        assert until(lambda: shop.ask().status == 200)
    assert users.availability().failures
    assert until(lambda: manage.status().state == "running")
