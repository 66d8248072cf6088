"""infrastructure/job.sh, which a training job runs: data from S3, an interruption, the end."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.moto_server import moto_server
from tests.unit.training.samples import (
    draft_csv,
    scryfall_json,
    simulated_cards,
    simulated_drafts,
)
from tests.unit.training.small_runs import RECIPE
from training.interruption import EXIT_INTERRUPTED

ROOT = Path(__file__).resolve().parents[3]
CHECKPOINTS = "checkpoints/mine"


@pytest.fixture
def endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def env(endpoint: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a job, with data of one set in its bucket."""
    (tmp_path / "recipe.toml").write_text("log_every = 1\n" + RECIPE.replace("40", "400", 1))
    inherited = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    env = inherited | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "DRAFTS_URL": "s3://jobs/data/17lands",
        "CARDS_URL": "s3://jobs/data/cards",
        "GPUS": "1",
        "SETS": "TST",
        "RECIPE": str(tmp_path / "recipe.toml"),
        "CHECKPOINTS": f"s3://jobs/{CHECKPOINTS}",
        "DATA": str(tmp_path / "data"),
        "CARDS": str(tmp_path / "cards" / "default-cards.json.gz"),
        "OUT": str(tmp_path / "out"),
        "ARGS": "",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        s3 = bucket()
        s3.create()
        drafts = gzip.compress(draft_csv(simulated_drafts(120)))
        s3.put_object(Key="data/17lands/draft_data_public.TST.PremierDraft.csv.gz", Body=drafts)
        cards = gzip.compress(scryfall_json(simulated_cards()))
        s3.put_object(Key="data/cards/default-cards.json.gz", Body=cards)
        yield env


def bucket() -> Any:
    return boto3.session.Session().resource("s3").Bucket("jobs")


def keys(prefix: str) -> list[str]:
    return [each.key for each in bucket().objects.filter(Prefix=prefix)]


def start(env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [ROOT / "infrastructure" / "job.sh"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_an_interrupted_job_ends_with_75_and_its_next_attempt_with_weights(
    env: dict[str, str],
) -> None:
    told = []
    with start(env) as job:
        assert job.stdout
        for line in job.stdout:
            told.append(line)
            if " step 5/400 " in line:
                job.send_signal(signal.SIGTERM)
    assert job.wait(30) == EXIT_INTERRUPTED, "".join(told)
    assert keys(CHECKPOINTS)
    assert keys(f"{CHECKPOINTS}/weights") == []
    with start(env) as again:
        output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert " step 5/400 " not in output
    assert " step 400/400 " in output
    assert {key.rpartition("/")[2] for key in keys(f"{CHECKPOINTS}/weights")} == {
        "meta.json",
        "model.safetensors",
    }


def test_a_job_that_cannot_begin_is_not_tried_again(env: dict[str, str]) -> None:
    with start(env | {"SETS": "XXX"}) as job:
        output, _ = job.communicate(timeout=120)
    assert job.returncode not in (0, EXIT_INTERRUPTED), output
    assert "XXX" in output
