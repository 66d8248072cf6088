"""An archive is built whole and working, or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from infrastructure import archive
from training import package_mar
from training.package_mar import ROOT, PackagingError, package


@pytest.fixture
def own_weights(weights: Path, tmp_path: Path) -> Path:
    """Weights that the test may spoil."""
    return Path(shutil.copytree(weights, tmp_path / "weights"))


@pytest.fixture(scope="session")
def built(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("build") / "draft.mar"
    package(weights, output)
    return output


def test_the_archive_holds_what_the_worker_needs(built: Path) -> None:
    with zipfile.ZipFile(built) as packed:
        members = set(packed.namelist())
        manifest = json.loads(packed.read("MAR-INF/MANIFEST.json"))["model"]
    sources = {f"model/{path.name}" for path in (ROOT / "model").glob("*.py")}
    sources |= {f"handler/{path.name}" for path in (ROOT / "handler").glob("*.py")}
    sources.remove("handler/draft_handler.py")
    assert members == sources | {
        "MAR-INF/MANIFEST.json",
        "draft_handler.py",
        "meta.json",
        "model.safetensors",
        "model-config.yaml",
        "requirements.txt",
    }
    assert manifest["modelName"] == "draft"
    assert manifest["modelVersion"] == package_mar.project_version()
    assert manifest["handler"] == "draft_handler.py"


def test_the_launcher_accepts_it(built: Path) -> None:
    archive.verify(built, str(built))


def test_the_checksum_beside_it_is_its_own(built: Path) -> None:
    digest, name = Path(f"{built}.sha256").read_text().split()
    assert digest == hashlib.sha256(built.read_bytes()).hexdigest()
    assert name == "draft.mar"


def test_the_requirements_in_it_are_pinned(built: Path) -> None:
    with zipfile.ZipFile(built) as packed:
        lines = packed.read("requirements.txt").decode().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert packages
    assert all("==" in line for line in packages)


def test_weights_with_a_changed_byte_are_refused_and_the_old_archive_goes(
    own_weights: Path, tmp_path: Path
) -> None:
    weights = own_weights / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    output = tmp_path / "build" / "draft.mar"
    output.parent.mkdir()
    output.write_bytes(b"yesterday's")
    with pytest.raises(PackagingError, match=r"is not what meta\.json describes"):
        package(own_weights, output)
    assert not list(output.parent.iterdir())


def test_missing_weights_are_said(tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match=r"cannot read the weights: .*meta\.json"):
        package(tmp_path, tmp_path / "draft.mar")


def test_an_archive_whose_handler_does_not_start_is_not_left_behind(
    own_weights: Path, tmp_path: Path
) -> None:
    meta = json.loads((own_weights / "meta.json").read_bytes())
    meta["feature_schema"]["hash"] = "0" * 64
    (own_weights / "meta.json").write_text(json.dumps(meta))
    output = tmp_path / "build" / "draft.mar"
    with pytest.raises(PackagingError, match=r"does not work by itself:(.|\n)*feature schema"):
        package(own_weights, output)
    assert not list(output.parent.iterdir())


def test_an_import_that_only_the_repository_can_satisfy_is_found(
    built: Path, tmp_path: Path
) -> None:
    """TorchServe's loader hides it behind a search for a built-in handler."""
    changed = tmp_path / "draft.mar"
    with zipfile.ZipFile(built) as source, zipfile.ZipFile(changed, "w") as sink:
        for member in source.infolist():
            content = source.read(member)
            if member.filename == "draft_handler.py":
                content = content.replace(
                    b"import logging\n", b"import logging\nimport infrastructure.settings\n", 1
                )
            sink.writestr(member, content)
    with pytest.raises(PackagingError, match="No module named 'infrastructure'"):
        package_mar.try_archive(changed, tmp_path / "trial")
