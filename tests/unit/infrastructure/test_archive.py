"""Every way an archive can be broken is found before Java starts."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path

import pytest
import yaml

from infrastructure import archive
from infrastructure.errors import ArchiveCorrupt
from infrastructure.settings import ModelOverrides

from .conftest import MODEL_CONFIG, WEIGHTS, MakeArchive


def refusal(path: Path) -> str:
    with pytest.raises(ArchiveCorrupt) as caught:
        archive.verify(path, "the-archive")
    assert "the-archive" in str(caught.value)
    return str(caught.value)


def test_a_complete_archive_passes(make_archive: MakeArchive) -> None:
    archive.verify(make_archive(), "the-archive")


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK"])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.mar"
    path.write_bytes(content)
    assert "no zip file" in refusal(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_truncated_archive_is_refused(make_archive: MakeArchive, share: float) -> None:
    path = make_archive()
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "truncated" in refusal(path)


def test_a_changed_byte_in_any_member_is_refused(make_archive: MakeArchive) -> None:
    rng = random.Random(0)
    weights = rng.randbytes(4000)  # incompressible: most bytes of the file are its bytes
    path = make_archive({"model.safetensors": weights})
    content = bytearray(path.read_bytes())
    start = content.index(b"model.safetensors") + len("model.safetensors")
    for place in rng.sample(range(start, start + 4000), 20):
        damaged = bytearray(content)
        damaged[place] ^= 0x40
        path.write_bytes(damaged)
        assert "damaged" in refusal(path)


def test_weights_other_than_in_meta_json_are_refused(make_archive: MakeArchive) -> None:
    changed = bytearray(WEIGHTS)
    changed[100] ^= 1
    message = refusal(make_archive({"model.safetensors": bytes(changed)}))
    assert "weights" in message
    assert "corrupt" in message


@pytest.mark.parametrize(
    "member",
    [
        "MAR-INF/MANIFEST.json",
        "draft_handler.py",
        "model.safetensors",
        "meta.json",
        "model-config.yaml",
    ],
)
def test_a_missing_member_is_named(make_archive: MakeArchive, member: str) -> None:
    assert f"no {member} in it" in refusal(make_archive({member: None}))


@pytest.mark.parametrize("member", ["MAR-INF/MANIFEST.json", "meta.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_json_that_is_none_is_named(make_archive: MakeArchive, member: str, content: bytes) -> None:
    assert member in refusal(make_archive({member: content}))


def test_another_model_is_refused(make_archive: MakeArchive) -> None:
    manifest = json.dumps({"model": {"modelName": "other", "handler": "draft_handler.py"}})
    message = refusal(make_archive({"MAR-INF/MANIFEST.json": manifest.encode()}))
    assert "'other', not 'draft'" in message


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "model/../../evil.py"])
def test_members_that_would_leave_the_folder_are_refused(
    make_archive: MakeArchive, name: str
) -> None:
    assert "would leave its folder" in refusal(make_archive({name: b"x"}))


def test_overrides_change_their_keys_and_nothing_else(make_archive: MakeArchive) -> None:
    path = make_archive()
    archive.override(path, ModelOverrides(workers=1, batch_size=4))
    archive.verify(path, "the-archive")
    with zipfile.ZipFile(path) as changed:
        config = yaml.safe_load(changed.read("model-config.yaml"))
        assert changed.read("model.safetensors") == WEIGHTS
    assert config == yaml.safe_load(MODEL_CONFIG) | {
        "minWorkers": 1,
        "maxWorkers": 1,
        "batchSize": 4,
    }
    assert list(path.parent.iterdir()) == [path]


def test_without_overrides_the_archive_is_left_alone(make_archive: MakeArchive) -> None:
    path = make_archive()
    before = path.read_bytes()
    archive.override(path, ModelOverrides())
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"[1]", b"a: [", b""])
def test_overrides_need_a_mapping_to_write_to(make_archive: MakeArchive, content: bytes) -> None:
    path = make_archive({"model-config.yaml": content})
    with pytest.raises(ArchiveCorrupt, match=r"model-config\.yaml"):
        archive.override(path, ModelOverrides(workers=1))
