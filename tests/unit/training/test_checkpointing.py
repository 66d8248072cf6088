"""Which checkpoints are kept, and which one a run goes on from."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from training.checkpointing import (
    LATEST,
    CheckpointRefused,
    Checkpoints,
    CheckpointsDamaged,
    Policy,
    differences,
)
from training.loop import Snapshot
from training.storage import FolderStorage

IDENTITY = {"config": {"steps": 100, "hold_out": ("A",)}, "data": {"drafts": {"a.csv": "1f"}}}


def snapshot(step: int) -> Snapshot:
    tensors = {
        "weights": torch.full((3,), float(step)),
        "random": torch.tensor([1], dtype=torch.uint8),
    }
    return Snapshot(step, tensors, {"positions": [[0, step]], "generator": {"state": 1 << 100}})


class Place:
    """Checkpoints in a folder, and what was said of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []

    def checkpoints(self, identity: Any = IDENTITY, **policy: Any) -> Checkpoints:
        chosen = Policy(**{"permanent_steps": 50, "ephemeral_minutes": 0.0} | policy)
        return Checkpoints(FolderStorage(self.folder), chosen, identity, 100, self.warnings.append)

    def damage(self, name: str) -> None:
        content = bytearray((self.folder / name).read_bytes())
        content[-1] ^= 1
        (self.folder / name).write_bytes(content)

    @property
    def found(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_snapshot_comes_back_bit_for_bit(place: Place) -> None:
    name = place.checkpoints().write(snapshot(7))
    again = place.checkpoints()
    assert again.newest() == name == "step-00000007-ephemeral"
    read = again.read(name)
    assert read.step == 7
    assert read.sampler == snapshot(7).sampler
    assert read.tensors.keys() == snapshot(7).tensors.keys()
    for key, expected in snapshot(7).tensors.items():
        assert read.tensors[key].dtype == expected.dtype
        assert torch.equal(read.tensors[key], expected)


def test_nothing_is_pickled(place: Place) -> None:
    place.checkpoints().write(snapshot(7))
    files = [path for path in place.folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    state = json.loads((place.folder / "step-00000007-ephemeral" / "state.json").read_text())
    assert state["data"] == IDENTITY["data"]
    assert state["config"]["steps"] == 100


def test_without_checkpoints_there_is_none(place: Place) -> None:
    assert place.checkpoints().newest() is None
    assert place.warnings == []


def test_permanent_ones_are_kept_and_two_ephemeral_ones(place: Place) -> None:
    checkpoints = place.checkpoints()
    for step in (10, 20, 50, 60, 70, 80, 100):
        checkpoints.write(snapshot(step))
    expected = ["step-00000050", "step-00000070-ephemeral", "step-00000080-ephemeral"]
    assert place.found == [*expected, "step-00000100"]
    assert json.loads((place.folder / LATEST).read_text()) == {
        "checkpoint": "step-00000100",
        "step": 100,
    }


def test_the_last_step_is_permanent_whatever_the_interval(place: Place) -> None:
    assert place.checkpoints(permanent_steps=70).write(snapshot(100)) == "step-00000100"


def test_when_they_are_due(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = place.checkpoints(ephemeral_steps=20, ephemeral_minutes=1.0)
    assert [step for step in range(1, 101) if checkpoints.due(step)] == [20, 40, 50, 60, 80, 100]
    start = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: start + 61)
    assert checkpoints.due(3)
    checkpoints.write(snapshot(3))
    assert not checkpoints.due(4)


def test_the_pointer_is_written_last(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put = FolderStorage.put
    monkeypatch.setattr(
        FolderStorage,
        "put",
        lambda self, name, content: (written.append(name), put(self, name, content)),
    )
    place.checkpoints().write(snapshot(50))
    folder = "step-00000050"
    assert written == [f"{folder}/state.safetensors", f"{folder}/state.json", LATEST]


def test_a_checkpoint_newer_than_the_pointer_was_not_finished(place: Place) -> None:
    checkpoints = place.checkpoints()
    checkpoints.write(snapshot(10))
    pointer = (place.folder / LATEST).read_bytes()
    checkpoints.write(snapshot(20))
    (place.folder / LATEST).write_bytes(pointer)
    assert place.checkpoints().newest() == "step-00000010-ephemeral"
    assert place.warnings == []


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
def test_a_damaged_one_is_passed_over_loudly(place: Place, file: str) -> None:
    checkpoints = place.checkpoints()
    checkpoints.write(snapshot(10))
    checkpoints.write(snapshot(20))
    path = place.folder / "step-00000020-ephemeral" / file
    path.write_bytes(path.read_bytes()[:-3])
    assert place.checkpoints().newest() == "step-00000010-ephemeral"
    (warning,) = place.warnings
    assert "step-00000020-ephemeral" in warning
    assert "damaged" in warning


def test_a_single_wrong_bit_is_noticed(place: Place) -> None:
    place.checkpoints().write(snapshot(10))
    place.damage("step-00000010-ephemeral/state.safetensors")
    with pytest.raises(CheckpointsDamaged, match=r"none of its 1 checkpoints.*--fresh"):
        place.checkpoints().newest()


@pytest.mark.parametrize("pointer", [None, b"{", b'{"checkpoint": "step-00000099"}'])
def test_without_a_good_pointer_the_newest_is_taken_and_said(
    place: Place, pointer: bytes | None
) -> None:
    checkpoints = place.checkpoints()
    checkpoints.write(snapshot(10))
    checkpoints.write(snapshot(20))
    if pointer is None:
        (place.folder / LATEST).unlink()
    else:
        (place.folder / LATEST).write_bytes(pointer)
    assert place.checkpoints().newest() == "step-00000020-ephemeral"
    assert len(place.warnings) == 1


def test_another_run_is_refused_with_every_difference(place: Place) -> None:
    place.checkpoints().write(snapshot(10))
    other = {
        "config": {"steps": 200, "hold_out": ("A", "B")},
        "data": {"drafts": {"a.csv": "1f", "b.csv": "2f"}},
    }
    with pytest.raises(CheckpointRefused) as refusal:
        place.checkpoints(other).newest()
    message = str(refusal.value)
    assert "config.steps was 100, now 200" in message
    assert 'config.hold_out was ["A"], now ["A", "B"]' in message
    assert "data.drafts.b.csv was not part of it" in message
    assert "--fresh" in message


def test_clear_leaves_no_checkpoint(place: Place) -> None:
    checkpoints = place.checkpoints()
    checkpoints.write(snapshot(10))
    checkpoints.write(snapshot(50))
    checkpoints.clear()
    assert list(place.folder.iterdir()) == []
    assert place.checkpoints().newest() is None
    assert place.warnings == []


def test_differences_name_the_path() -> None:
    assert list(differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 1}, "d": 2})) == [
        "c was part of it and is not now",
        "d was not part of it",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"permanent_steps": 0}, "permanent_steps must be at least 1"),
        ({"permanent_steps": 1, "ephemeral_minutes": -1.0}, "ephemeral_minutes must not be"),
        ({"permanent_steps": 1, "ephemeral_minutes": float("nan")}, "ephemeral_minutes must not"),
        ({"permanent_steps": 1, "ephemeral_steps": -1}, "ephemeral_steps must not be negative"),
    ],
)
def test_intervals_that_are_none_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Policy(**values)
