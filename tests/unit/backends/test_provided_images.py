"""A lab's images follow the course's folders, and leave the learner's own alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from halab.backends import provided
from halab.errors import ImageError
from halab.images.types import Engine

NAME = "halab-app:1.0"


class Shelf:
    """An engine that holds images by name and nothing else."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, Any]] = {}

    def inspect(self, reference: str) -> dict[str, Any]:
        if reference not in self.images:
            raise ImageError(reference, "is not here")
        return self.images[reference]

    def made(self, reference: str, folder: Path, image_id: str = "sha256:1") -> None:
        labels = dict(provided.request(cast(Engine, self), reference, folder).labels)
        self.images[reference] = {"Id": image_id, "Config": {"Labels": labels}}

    def has(self, reference: str, folder: Path) -> bool:
        return provided.is_current(cast(Engine, self), reference, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM python:3.13-slim\nCOPY app.py .\n")
    (tmp_path / "app.py").write_text("print(1)\n")
    return tmp_path


def test_what_is_not_there_is_built(folder: Path) -> None:
    assert not Shelf().has(NAME, folder)


def test_what_was_built_from_these_very_sources_stays(folder: Path) -> None:
    shelf = Shelf()
    shelf.made(NAME, folder)
    assert shelf.has(NAME, folder)


def test_a_changed_file_is_a_reason_to_build_anew(folder: Path) -> None:
    shelf = Shelf()
    shelf.made(NAME, folder)
    (folder / "app.py").write_text("print(2)\n")
    assert not shelf.has(NAME, folder)


def test_so_is_another_image_below(folder: Path) -> None:
    shelf = Shelf()
    shelf.images["python:3.13-slim"] = {"Id": "sha256:a"}
    shelf.made(NAME, folder)
    shelf.images["python:3.13-slim"] = {"Id": "sha256:b"}
    assert not shelf.has(NAME, folder)


@pytest.mark.parametrize("labels", [None, {}, {provided.LABEL: "halab-app:1.0@0123"}], ids=["none", "empty", "inherited"])
def test_an_image_that_the_learner_made_is_left_alone(folder: Path, labels: dict[str, str] | None) -> None:
    shelf = Shelf()
    shelf.images["my-nginx:1.0"] = {"Id": "sha256:own", "Config": {"Labels": labels}}
    assert shelf.has("my-nginx:1.0", folder)
