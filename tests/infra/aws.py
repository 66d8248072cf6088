"""A stand-in for AWS on the loopback interface: moto, with what it lacks (moto_aws.py)."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import requests

MOTO = Path(__file__).with_name("moto_aws.py")

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}

# moto answers a missing action with 500, which the provider would try 25 times; a dropped
# connection is worth a second try.
PROVIDER = """\
terraform {
  backend "local" {}
}

provider "aws" {
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  s3_use_path_style           = true
  max_retries                 = 3
}
"""


@contextlib.contextmanager
def moto(log: Path) -> Iterator[str]:
    """Run the server; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(MOTO), "-H", "127.0.0.1", "-p", str(port)],
            stdout=output,
            stderr=output,
            env=os.environ | {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        )
        try:
            _wait(process, url, log)
            yield url
        finally:
            process.terminate()
            process.wait(10)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(requests.ConnectionError):
            requests.get(f"{url}/moto-api/data.json", timeout=5)
            return
        time.sleep(0.2)
    raise RuntimeError(f"moto did not start:\n{log.read_text(errors='replace')[-3000:]}")
