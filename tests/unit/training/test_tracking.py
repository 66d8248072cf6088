"""Lines, a progress bar, `metrics.jsonl` and TensorBoard's files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.tracking import RunTracker, forget


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def steps(folder: Path) -> list[int]:
    return [
        json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


def test_records_go_to_metrics_and_to_tensorboard(tmp_path: Path) -> None:
    with RunTracker(tmp_path, 0, 4, io.StringIO()) as tracker:
        for step in (1, 2, 3, 4):
            tracker.stepped(step)
            if step % 2 == 0:
                tracker.record(step, {"loss": 1 / step})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(2, 0.5), (4, 0.25)]
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in events] == [(2, 0.5), (4, 0.25)]


def test_elsewhere_than_on_a_terminal_there_are_plain_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = io.StringIO()
    with RunTracker(tmp_path, 0, 4, terminal) as tracker:
        tracker.stepped(1)
        tracker.record(1, {"loss": 1.5, "picks_per_second": 12000.0})
    assert terminal.getvalue() == ""
    assert capsys.readouterr().out.endswith("step 1/4 loss 1.5 picks_per_second 1.2e+04\n")


def test_on_a_terminal_there_is_a_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    with RunTracker(tmp_path, 1, 4, terminal) as tracker:
        for step in (2, 3, 4):
            tracker.stepped(step)
            tracker.record(step, {"loss": 1.5})
    assert "4/4" in terminal.getvalue()
    assert "loss 1.5" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_a_run_that_goes_on_drops_what_it_will_make_again(tmp_path: Path) -> None:
    with RunTracker(tmp_path, 0, 9, io.StringIO()) as tracker:
        for step in range(1, 6):
            tracker.record(step, {"loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # killed in the middle of a line
    with RunTracker(tmp_path, 3, 9, io.StringIO()) as tracker:
        assert steps(tmp_path) == [1, 2, 3]
        tracker.record(4, {"loss": 40.0})
    assert steps(tmp_path) == [1, 2, 3, 4]
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in events] == [(1, 1), (2, 2), (3, 3), (4, 40)]


def test_a_run_that_starts_over_forgets(tmp_path: Path) -> None:
    with RunTracker(tmp_path, 0, 9, io.StringIO()) as tracker:
        tracker.record(1, {"loss": 1.0})
    (tmp_path / "model.safetensors").touch()
    forget(tmp_path)
    forget(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
