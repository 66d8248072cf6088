"""Devices, and what one process of several does when another is in trouble."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.unit.training.small_runs import TINY, command_line, small_corpus, write_project
from training.distributed import Processes, choose_device, processes
from training.loop import Diverged, Trainer
from training.textfile import DataError

ROOT = Path(__file__).resolve().parents[3]


def test_one_process_exchanges_with_itself() -> None:
    with processes() as alone:
        alone.wait_for_all()
        assert alone.is_first
        assert alone.sum((0.5, True, 3)) == [0.5, 1.0, 3.0]
        assert alone.share("text") == "text"
        module = torch.nn.Linear(1, 1)
        assert alone.replicate(module, torch.device("cpu")) is module


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """What torch would say on a machine with two; the devices that were chosen."""
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


@pytest.mark.parametrize(
    ("wanted", "local_rank", "device"),
    [("auto", 0, "cuda:0"), ("auto", 1, "cuda:1"), ("cuda", 1, "cuda:1"), ("cuda:1", 0, "cuda:1")],
)
def test_each_process_takes_its_own_gpu(
    two_gpus: list[torch.device], wanted: str, local_rank: int, device: str
) -> None:
    assert choose_device(wanted, local_rank) == torch.device(device)
    assert two_gpus == [torch.device(device)]


def test_more_processes_than_gpus_are_refused(two_gpus: list[torch.device]) -> None:
    with pytest.raises(DataError, match="--device cuda: torch sees"):
        choose_device("cuda", local_rank=2)
    assert choose_device("cpu", local_rank=2) == torch.device("cpu")


def test_without_a_gpu_the_cpu_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")


class OtherWeights(Processes):
    """Two processes, of which the other answers with something else."""

    def gather(self, tensor: Tensor) -> list[Tensor]:
        return [tensor, tensor + 1]


def test_processes_whose_weights_differ_are_stopped(tmp_path: Path) -> None:
    trainer = Trainer(TINY, small_corpus(tmp_path), processes=OtherWeights())
    with pytest.raises(Diverged, match="the weights of the processes differ after step 0"):
        trainer.snapshot()


def test_a_mistake_of_the_first_process_ends_all_of_them(tmp_path: Path) -> None:
    """The others wait for it, and must not wait for ever."""
    project = write_project(tmp_path)
    (project / "run").touch()  # a file where the run folder should be
    launch = ["-m", "training.launch", "--nproc-per-node=2", "--"]
    done = subprocess.run(
        [sys.executable, *launch, *command_line(project)],
        cwd=ROOT,
        env=os.environ | {"AWS_EC2_METADATA_DISABLED": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert f"error: {project / 'run'}" in done.stderr
