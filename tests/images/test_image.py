"""What is in the images, and what they say of themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infrastructure.operations.release_name import project_version

from .build import ROOT, SECRET
from .conftest import Build, image_config
from .podman import Podman
from .results import LARGEST_BYTES, Figures

CONTAINERS = ("torchserve", "gateway")


@contextmanager
def mounted(podman: Podman, image: str) -> Iterator[Path]:
    """The image's files."""
    try:
        yield Path(podman("image", "mount", image))
    finally:
        podman("image", "unmount", image)


def test_sizes(podman: Podman, images: dict[str, str], figures: Figures) -> None:
    figures.torchserve_bytes = image_config(podman, images["torchserve"])["Size"]
    figures.gateway_bytes = image_config(podman, images["gateway"])["Size"]
    assert figures.torchserve_bytes <= LARGEST_BYTES
    assert figures.gateway_bytes <= LARGEST_BYTES // 4


def test_buildah_builds_the_same(podman: Podman, images: dict[str, str], builder: Build) -> None:
    """From the same layers, so this takes seconds."""
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed; that podman builds is tested")
    layers = image_config(podman, images["gateway"])["RootFS"]
    built = builder("gateway", tool="buildah")
    config = image_config(podman, built["gateway"])
    assert config["RootFS"] == layers
    assert config["Healthcheck"]["Test"][0] == "CMD"


@pytest.mark.parametrize("container", CONTAINERS)
def test_labels_tell_the_release(podman: Podman, images: dict[str, str], container: str) -> None:
    revision = subprocess.run(
        ["git", "rev-parse", "--short=7", "HEAD"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    labels = image_config(podman, images[container])["Labels"]
    assert labels["org.opencontainers.image.version"] == project_version(ROOT)
    assert labels["org.opencontainers.image.revision"] == revision
    assert images[container].endswith(f":{project_version(ROOT)}-{revision}")


@pytest.mark.parametrize("container", CONTAINERS)
def test_runs_as_nobody_with_one_volume(
    podman: Podman, images: dict[str, str], container: str
) -> None:
    config = image_config(podman, images[container])["Config"]
    assert config["User"] == "10001:10001"
    assert list(config["Volumes"]) == ["/tmp"]
    assert config["Entrypoint"] == ["tini", "--"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_nothing_of_the_build_is_left(
    podman: Podman, images: dict[str, str], container: str
) -> None:
    """Neither its secrets nor what only it needs, in files or in the image's history."""
    assert SECRET not in podman("history", "--no-trunc", images[container])
    assert SECRET not in podman("image", "inspect", images[container])
    with mounted(podman, images[container]) as root:
        left = [root / name for name in ("etc/pip.conf", "run/build", "run/secrets", "build")]
        assert [each for each in left if each.exists()] == []
        assert list(root.glob("opt/venv/lib/python3.*/site-packages/pip*")) == []
        assert list((root / "var/lib/apt/lists").glob("*_Packages*")) == []
        files = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
        # A secret has no more than a few kilobytes.
        small = [
            file for file in files if file.is_file() and not file.is_symlink()
            and file.stat().st_size < 100_000
        ]  # fmt: skip
        assert len(small) > 1000
        assert [file for file in small if SECRET.encode() in file.read_bytes()] == []


@pytest.mark.parametrize("container", CONTAINERS)
def test_what_is_not_for_serving_stays_outside(
    podman: Podman, images: dict[str, str], container: str
) -> None:
    with mounted(podman, images[container]) as root:
        ours = root / "opt" / "draft"
        assert sorted(each.name for each in ours.iterdir() if each.name != "build") == [
            "config",
            "infrastructure",
            "pyproject.toml",
        ]
        assert list(ours.rglob("*.tf*")) == []
        assert list(root.glob("**/*.mar")) == (
            [ours / "build" / "draft.mar"] if container == "torchserve" else []
        )
        writable = [
            each for each in ours.rglob("*")
            if not each.is_symlink() and (each.stat().st_uid != 0 or each.stat().st_mode & 0o022)
        ]  # fmt: skip
        assert writable == []
