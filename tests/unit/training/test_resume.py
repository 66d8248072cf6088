"""Runs that are killed and go on: real processes, real signals, one and two of them.

The step at which a signal arrives is random; whichever it is, the weights must end as those of a
run that was never stopped, bit for bit.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import torch
from safetensors.torch import load_file

from tests.moto_server import moto_server
from tests.unit.training.small_runs import command_line, write_project
from training.train import main

ROOT = Path(__file__).resolve().parents[3]
STEPS = 150
# The encoder's dropout and that of features draw random numbers in every step.
EXACT = ["--steps", str(STEPS), "--ephemeral-steps", "10"]
TWO = ["-m", "training.launch", "--nproc-per-node=2", "--"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = write_project(tmp_path_factory.mktemp("template"))
    with (project / "recipe.toml").open("r+") as recipe:
        text = recipe.read()
        recipe.seek(0)
        recipe.write(f"log_every = 1\nevaluate_every = 1000\n{text}")
    return project


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "project"))


@pytest.fixture(scope="module")
def weights(template: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of the run that nobody stops."""
    project = Path(shutil.copytree(template, tmp_path_factory.mktemp("whole") / "project"))
    assert main(command_line(project, *EXACT)) == 0
    return (project / "run" / "model.safetensors").read_bytes()


def start(project: Path, *more: str, module: list[str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *(module or ["-m", "training.train"]), *command_line(project, *more)],
        cwd=ROOT,
        env=os.environ | {"AWS_EC2_METADATA_DISABLED": "true", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def steps_of(project: Path) -> list[int]:
    try:
        lines = (project / "run" / "metrics.jsonl").read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line)["step"] for line in lines if line.endswith("\n")]


def wait_for_step(process: subprocess.Popen[str], project: Path, step: int) -> None:
    limit = time.monotonic() + 120
    while not (steps := steps_of(project)) or steps[-1] < step:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < limit
        time.sleep(0.002)


def kill_at(project: Path, step: int, number: signal.Signals, *more: str) -> tuple[int, str]:
    """Start, signal after that step; exit code and output."""
    process = start(project, *EXACT, *more)
    try:
        wait_for_step(process, project, step)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_goes_on_to_the_same_weights(
    project: Path, weights: bytes, number: signal.Signals
) -> None:
    step = random.randrange(1, 60)
    code, output = kill_at(project, step, number)
    assert code == 75, output
    assert f"interrupted ({number.name})" in output
    stopped = steps_of(project)[-1]
    assert step <= stopped < STEPS
    assert not (project / "run" / "model.safetensors").exists()
    latest = json.loads((project / "run" / "checkpoints" / "latest.json").read_text())
    assert latest["step"] == stopped, "stored where it stopped"
    assert main(command_line(project, *EXACT)) == 0
    assert (project / "run" / "model.safetensors").read_bytes() == weights, f"stopped at {stopped}"
    assert steps_of(project) == list(range(1, STEPS + 1)), "no step is told twice or left out"


def test_a_run_that_is_killed_goes_on_to_the_same_weights(project: Path, weights: bytes) -> None:
    step = random.randrange(11, 60)
    code, output = kill_at(project, step, signal.SIGKILL)
    assert code == -signal.SIGKILL, output
    latest = json.loads((project / "run" / "checkpoints" / "latest.json").read_text())
    assert latest["step"] <= steps_of(project)[-1]
    assert main(command_line(project, *EXACT)) == 0
    assert (project / "run" / "model.safetensors").read_bytes() == weights, f"killed after {step}"
    assert steps_of(project) == list(range(1, STEPS + 1))


def test_a_damaged_newest_checkpoint_costs_some_steps_only(
    project: Path, weights: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command_line(project, *EXACT)) == 0
    (project / "run" / "model.safetensors").unlink()
    folder = project / "run" / "checkpoints"
    newest = json.loads((folder / "latest.json").read_text())["checkpoint"]
    tensors = folder / newest / "state.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    capsys.readouterr()
    assert main(command_line(project, *EXACT)) == 0
    told = capsys.readouterr().out
    assert f"checkpoint {newest}" in told
    assert "is damaged" in told
    assert "going on from checkpoint" in told
    assert (project / "run" / "model.safetensors").read_bytes() == weights


def test_a_run_of_another_set_up_is_refused_unless_fresh(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command_line(project, "--steps", "4")) == 0
    weights = (project / "run" / "model.safetensors").read_bytes()
    assert main(command_line(project, "--steps", "5", "--seed", "3")) == 1
    told = capsys.readouterr().err
    assert "config.seed was 1, now 3; config.steps was 4, now 5" in told
    assert (project / "run" / "model.safetensors").read_bytes() == weights, "nothing is lost"
    drafts = project / "draft_data_public.TST.PremierDraft.csv"
    drafts.write_bytes(b"".join(drafts.read_bytes().splitlines(keepends=True)[:-30]))
    assert main(command_line(project, "--steps", "4")) == 1
    told = capsys.readouterr().err
    assert f"data.drafts.{drafts.name} was" in told
    assert "data.sha256" not in told
    assert main(command_line(project, "--steps", "5", "--seed", "3", "--fresh")) == 0
    assert steps_of(project) == [1, 2, 3, 4, 5]


@pytest.fixture
def endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    boto3.resource("s3").create_bucket(Bucket="runs")
    return "s3://runs/tst"


def test_another_machine_goes_on_from_s3(
    project: Path, weights: bytes, bucket: str, tmp_path: Path
) -> None:
    code, output = kill_at(project, 30, signal.SIGTERM, "--checkpoints", bucket)
    assert code == 75, output
    shutil.rmtree(project / "run")
    assert main(command_line(project, *EXACT, "--checkpoints", bucket)) == 0
    assert (project / "run" / "model.safetensors").read_bytes() == weights
    stored = boto3.resource("s3").Object("runs", "tst/weights/model.safetensors").get()
    assert stored["Body"].read() == weights
    assert not (project / "run" / "checkpoints").exists()


def losses(project: Path) -> list[float]:
    lines = (project / "run" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_two_processes_train_as_one(project: Path) -> None:
    """Without dropout, which each process draws for itself."""
    recipe = (project / "recipe.toml").read_text()
    dropouts = "".join(f"{kind}_dropout = 0.0\n" for kind in ("set", "card", "feature"))
    recipe = recipe.replace("[model]", f"{dropouts}[model]\ndropout = 0.0")
    (project / "recipe.toml").write_text(recipe.replace("[encoder]", "[encoder]\ndropout = 0.0"))
    options = ["--steps", "40"]
    other = Path(shutil.copytree(project, project.with_name("other")))
    assert main(command_line(other, *options)) == 0
    process = start(project, *options, module=TWO)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert output.count("weights are in") == 1, "one process alone writes and talks"
    assert losses(project) == pytest.approx(losses(other), rel=1e-3, abs=1e-6)
    one, two = (load_file(each / "run" / "model.safetensors") for each in (other, project))
    for name, tensor in one.items():
        if name.startswith("network."):
            torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4)


def test_two_processes_stop_at_one_step_and_go_on_to_the_same_weights(project: Path) -> None:
    options = ["--steps", "60"]
    whole = Path(shutil.copytree(project, project.with_name("whole")))
    uninterrupted = start(whole, *options, module=TWO)
    output, _ = uninterrupted.communicate(timeout=120)
    assert uninterrupted.returncode == 0, output

    process = start(project, *options, module=TWO)
    try:
        wait_for_step(process, project, random.randrange(1, 20))
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75, output
    latest = json.loads((project / "run" / "checkpoints" / "latest.json").read_text())
    assert latest["step"] == steps_of(project)[-1] < 60

    again = start(project, *options, module=TWO)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert f"going on from checkpoint {latest['checkpoint']}" in output
    files = [each / "run" / "model.safetensors" for each in (project, whole)]
    assert files[0].read_bytes() == files[1].read_bytes()
