"""Both images, built once for the session, and a task of them that all tests share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.serving.conftest import archive  # noqa: F401

from .build import ROOT, base_image, build, packages, prove, secrets
from .podman import Podman, Unavailable
from .results import Figures
from .task import Task

Build = Callable[..., dict[str, str]]
PICK = json.loads((ROOT / "examples" / "first_pick.json").read_text(encoding="utf-8"))


@contextmanager
def or_skip() -> Iterator[None]:
    """What this machine cannot do is no failure, and pytest's summary says what it is."""
    try:
        yield
    except Unavailable as reason:
        pytest.skip(f"the images are NOT TESTED: {reason}")


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    """Podman, where it works."""
    with or_skip():
        return Podman(tmp_path_factory.mktemp("podman"))


@pytest.fixture(scope="session")
def builder(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """Builds images by container, with a tool of choice."""
    folder = tmp_path_factory.mktemp("build")
    with or_skip():
        base = base_image(podman, folder)
        prove(podman, base, folder)
        wheels = packages("serve.txt", "gateway.txt")
    with secrets(wheels, folder) as given:

        def start(*names: str, tool: str = "podman") -> dict[str, str]:
            with or_skip():
                return build(podman, base, names, given, tool)

        yield start


@pytest.fixture(scope="session")
def images(builder: Build, archive: Path) -> dict[str, str]:  # noqa: F811
    """The images of TorchServe and the gateway, by container."""
    own = ROOT / "build" / "draft.mar"
    assert archive == own, f"the images hold {own}: unset MODEL_PATH"
    return builder("torchserve", "gateway")


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """What the tests measure; written down at the end, if all of it was."""
    measured = Figures()
    yield measured
    measured.write()


@pytest.fixture(scope="session")
def task(podman: Podman, images: dict[str, str], figures: Figures) -> Iterator[Task]:
    """A running task. Stop or break one of your own instead."""
    with Task(podman, images) as started:
        started.start("torchserve")
        started.start("gateway")
        figures.first_answer_s = started.wait_for_answer(PICK)
        figures.first_answer_cpu_s = sum(map(started.cpu_s, images))
        figures.load_average = os.getloadavg()[0]
        for container in images:
            started.wait_until_healthy(container)
        yield started


@pytest.fixture
def new_task(podman: Podman, images: dict[str, str]) -> Iterator[Task]:
    """A task of the test's own, with nothing started in it."""
    with Task(podman, images) as created:
        yield created


def image_config(podman: Podman, image: str) -> dict[str, Any]:
    """What an image says about how it wants to be run."""
    found: dict[str, Any] = json.loads(podman("image", "inspect", image))[0]
    return found
