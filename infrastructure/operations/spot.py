"""Train on a spot GPU: `make train-spot ENV=prod SETS="FDN BLB" EPOCHS=10 RUN=fdn-blb SIZE=gpu1`.

Submits the job to AWS Batch, shows its log while it runs, and fetches the weights. Ending this
program does not end the job: the same command with the same RUN finds it again. A job whose machine
is taken away is retried by Batch and goes on from its checkpoint: infrastructure/job.sh, which runs
`make data train` in the container, ends with 75 then.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infrastructure.operations.access import access
from infrastructure.operations.errors import AccessError, ConfigurationError, OperationError, told
from infrastructure.operations.logs import lines
from infrastructure.operations.stack import Stack

POLL_S = 10.0
LATE_S = 300.0
"""How late a line may reach CloudWatch and still be shown."""
_RUN = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_ALIVE = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
_ENDED = ("SUCCEEDED", "FAILED")


def submit(stack: Stack, size: str, run: str, settings: Mapping[str, str]) -> str:
    """Start the job of a run, or find it where it is alive; return its id.

    `settings` are variables of `make data train`, such as SETS.

    Raises ConfigurationError for a malformed run name, or when there is no queue of that size.
    """
    if not _RUN.fullmatch(run):
        raise ConfigurationError(f"RUN={run or '(empty)'}: lower-case letters, digits, hyphens")
    batch, queue = stack.client("batch"), stack.queue(size)
    with access(f"submitting to {queue}"):
        if not batch.describe_job_queues(jobQueues=[queue])["jobQueues"]:
            raise ConfigurationError(
                f"there is no queue {queue} in {stack.region}: SIZE is one of training.sizes in "
                "the environment's terraform.tfvars"
            )
        for status in _ALIVE:
            answer = batch.list_jobs(jobQueue=queue, jobStatus=status)
            for job in answer["jobSummaryList"]:
                if job["jobName"] == run:
                    found: str = job["jobId"]
                    return found
        variables = {**settings, "CHECKPOINTS": f"s3://{stack.bucket()}/{checkpoints(run)}"}
        job = batch.submit_job(
            jobName=run,
            jobQueue=queue,
            jobDefinition=queue,
            containerOverrides={
                "environment": [{"name": key, "value": text} for key, text in variables.items()]
            },
            tags={"Stack": stack.prefix},
            propagateTags=True,
        )
    identifier: str = job["jobId"]
    return identifier


def checkpoints(run: str) -> str:
    """Where a run keeps its checkpoints in the bucket, and its weights in the end."""
    return f"checkpoints/{run}"


def follow(
    stack: Stack, job_id: str, report: Callable[[str], None] = print, poll_s: float = POLL_S
) -> None:
    """Show the job's states and log lines until it ends. Raises OperationError if it failed."""
    batch = stack.client("batch")
    shown, seen = "", set[str]()
    first = read = time.time() - 60
    while True:
        with access(f"asking for job {job_id}"):
            jobs = batch.describe_jobs(jobs=[job_id])["jobs"]
        if not jobs:
            raise OperationError(f"job {job_id} is gone")
        job = jobs[0]
        state = f"{job['status'].lower()}, attempt {len(job.get('attempts', ())) + 1}"
        if state != shown and job["status"] not in _ENDED:
            report(f"draft: job {job_id}: {state}")
            shown = state
        asked = time.time()
        if _show_log(stack, asked - max(first, read - LATE_S), seen, report):
            read = asked
        if job["status"] == "SUCCEEDED":
            return
        if job["status"] == "FAILED":
            raise OperationError(
                f"job {job_id} failed: {job.get('statusReason', 'no reason given')}"
            )
        time.sleep(poll_s)


def _show_log(stack: Stack, since_s: float, seen: set[str], report: Callable[[str], None]) -> bool:
    """Report what is new in the log; false when it cannot be read yet."""
    try:
        for line in lines(stack, "training", since_s):
            if line not in seen:
                seen.add(line)
                report(line)
    except AccessError:
        raise
    except OperationError:
        # Batch makes the log stream with the first line; before that there is nothing to show.
        return False
    return True


def fetch(stack: Stack, run: str, folder: Path) -> list[Path]:
    """Download the weights of a run; return the files. Raises ConfigurationError without any."""
    s3, bucket = stack.client("s3"), stack.bucket()
    prefix = f"{checkpoints(run)}/weights/"
    fetched = []
    with access(f"fetching s3://{bucket}/{prefix}"):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for each in page.get("Contents", []):
                target = folder / each["Key"].removeprefix(prefix)
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(target.name + ".part")
                _download(s3, bucket, each["Key"], part)
                part.replace(target)
                fetched.append(target)
    if not fetched:
        raise ConfigurationError(f"s3://{bucket}/{prefix} is empty: the run left no weights")
    return fetched


def _download(s3: Any, bucket: str, key: str, target: Path) -> None:
    with target.open("wb") as file:
        s3.download_fileobj(bucket, key, file)


@told
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infrastructure.operations.spot")
    parser.add_argument("--env", required=True)
    parser.add_argument("--run", default="default", help="name of the run; the same one resumes")
    parser.add_argument("--size", default="gpu1", help="queue: a name of training.sizes")
    parser.add_argument("--sets", default="", help="set codes, separated by spaces")
    parser.add_argument("--epochs", default="")
    parser.add_argument("--recipe", default="")
    parser.add_argument("--output", type=Path, default=Path("build/weights"))
    options = parser.parse_args(arguments)
    try:
        stack = Stack.of(options.env)
        if not options.sets.split():
            raise ConfigurationError('SETS is empty: name the sets, such as SETS="FDN BLB"')
        settings = {
            name.upper(): value
            for name in ("sets", "epochs", "recipe")
            if (value := getattr(options, name).strip())
        }
        shown = " ".join(f'{name}="{value}"' for name, value in settings.items())
        print(f"draft: run {options.run} on {stack.queue(options.size)}: {shown}")
        print(f"draft: then its weights into {options.output}")
        if os.environ.get("DRY_RUN"):
            return 0
        follow(stack, submit(stack, options.size, options.run, settings))
        for file in fetch(stack, options.run, options.output):
            print(f"draft: {file}")
    except KeyboardInterrupt:
        print(f"draft: the job goes on; RUN={options.run} finds it again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
