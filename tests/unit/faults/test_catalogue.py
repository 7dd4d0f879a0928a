"""The catalogue declares all that it must, and a cluster that is shared is protected by what it does not offer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from halab.backends import controls
from halab.backends.base import Summary
from halab.errors import ClusterError, UsageError
from halab.faults import api, engine, records
from halab.faults.base import Data, Options, Place, Plan
from halab.faults.catalogue import FAULTS, find
from halab.faults.catalogue.image_unpullable import ImageUnpullable
from halab.faults.records import Record

WANTED = {
    "container-killed container-hung crash-loop liveness-failing readiness-failing slow-start cpu-burn memory-growth disk-full latency errors",
    "connections-dropped image-unpullable bad-config node-lost node-agent-stopped node-cut-off node-drained apiserver-down controllers-down",
    "dataplane-down dns-down registry-down clock-skew",
}


def test_every_failure_is_there_once_and_says_what_it_does() -> None:
    assert sorted(fault.name for fault in FAULTS) == sorted(name for line in WANTED for name in line.split())
    for fault in FAULTS:
        for text in (fault.title, fault.does, fault.expect, fault.within, fault.heals):
            assert len(text) > 5, fault.name
        assert fault.needs and fault.duration > 0
        assert fault.settings({}) == {option.name: option.default for option in fault.options}


def test_each_failure_has_a_file_of_its_own() -> None:
    modules = {type(fault).__module__ for fault in FAULTS}
    assert len(modules) == len(FAULTS)


def test_an_unknown_failure_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean node-lost"):
        find("node-last")
    with pytest.raises(UsageError, match="halab fault list"):
        find("xyzzy")


def test_an_image_keeps_its_registry_when_its_tag_is_made_wrong() -> None:
    wrong = ImageUnpullable().wrong
    assert wrong({"image": "nginx:1.22"}) == {"image": "nginx:no-such-tag"}
    assert wrong({"image": "127.0.0.1:5000/web"}) == {"image": "127.0.0.1:5000/web:no-such-tag"}
    assert wrong({"image": "web@sha256:00"}) == {"image": "web:no-such-tag"}


class Shared:
    """A classroom's cluster: the API in one namespace, nothing else."""

    shared = True
    powers = frozenset({controls.API})

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def records(self) -> Path:
        return self.folder


class Classroom:
    def __init__(self, folder: Path) -> None:
        self._controls = Shared(folder)
        (folder / "kubeconfig").write_text("{}")

    def controls(self) -> Shared:
        return self._controls

    def namespace(self, wanted: str) -> str:
        return "me"

    def summary(self) -> Summary:
        return Summary("class", "existing", "running", 3)


@pytest.fixture
def classroom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Classroom:
    found = Classroom(tmp_path)
    monkeypatch.setattr(engine, "place_of", lambda _backend, namespace, own: Place(None, namespace, own))  # type: ignore[arg-type]
    monkeypatch.setattr(engine.guard, "start", lambda _folder, _record: (0, ""))
    return found


def test_a_shared_cluster_offers_what_stays_in_the_namespace_only(classroom: Classroom) -> None:
    offered = {row.name for row in api.catalogue(classroom) if not row.lacks}  # type: ignore[arg-type]
    assert offered == {"image-unpullable", "bad-config"}
    with pytest.raises(ClusterError, match="does not offer"):
        engine.plan(classroom, "node-lost", "node-1", "me", {})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="namespace others is not yours"):
        engine.plan(classroom, "bad-config", "deployment/web", "others", {})  # type: ignore[arg-type]


def test_on_a_shared_cluster_nothing_is_touched_before_the_dry_run_was_confirmed(
    classroom: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched: list[Data] = []

    def plan(_self: ImageUnpullable, place: Place, target: str, _options: Options) -> Plan:
        return Plan((f"deployment {place.namespace}/{target}",), ("deployments/me/web",), {})

    monkeypatch.setattr(ImageUnpullable, "plan", plan)
    monkeypatch.setattr(ImageUnpullable, "inject", lambda _self, _place, data: touched.append(data))
    seen = api.preview(classroom, "image-unpullable", "web", namespace="me")  # type: ignore[arg-type]
    assert seen.hits == ("deployment me/web",)
    with pytest.raises(UsageError, match=r"deployment me/web.*--yes"):
        api.inject(classroom, "image-unpullable", "web", namespace="me")  # type: ignore[arg-type]
    assert not touched
    api.inject(classroom, "image-unpullable", "web", namespace="me", confirmed=True)  # type: ignore[arg-type]
    assert len(touched) == 1


def record(name: str, fault: str, at: float) -> Record:
    return Record(name, fault, "default", "default", "", {}, [], [], {}, at, at + 60)


def test_what_others_need_to_heal_is_healed_first() -> None:
    found = [record("a", "errors", 1.0), record("b", "apiserver-down", 2.0), record("c", "latency", 3.0)]
    assert [one.id for one in engine.healing_order(found)] == ["b", "c", "a"]


def test_records_survive_on_disk_and_broken_files_are_passed_over(tmp_path: Path) -> None:
    first, second = record("a", "errors", 2.0), record("b", "latency", 1.0)
    records.save(tmp_path, first)
    records.save(tmp_path, second)
    (tmp_path / "c.json").write_text("{")
    assert [one.id for one in records.load_all(tmp_path)] == ["b", "a"]
    assert records.load(records.path_of(tmp_path, "a")) == dataclasses.replace(first)
    assert records.path_of(tmp_path, "a").stat().st_mode & 0o777 == 0o600


def test_the_history_tells_what_was_injected_and_healed(tmp_path: Path) -> None:
    one = record("a", "errors", 1.0)
    records.remember(tmp_path, one, "injected", 5.0)
    records.remember(tmp_path, one, "healed", 6.0)
    with (tmp_path / records.HISTORY).open("a") as out:
        out.write('{"at": 7')
    assert [(event["event"], event["at"]) for event in records.history(tmp_path)] == [("injected", 5.0), ("healed", 6.0)]
    assert [event["event"] for event in records.history(tmp_path, 5.5)] == ["healed"]
