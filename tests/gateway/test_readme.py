"""The README's curl lines for the gateway, executed as printed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.serving.server import ROOT, LaunchedServer

from .gateway import Gateway

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def lines(part: str) -> list[str]:
    """The commands of a part of the README, without its comments."""
    (block,) = re.findall(
        rf"<!-- {part}:begin -->\n```sh\n(.*?)```\n<!-- {part}:end -->", README, re.S
    )
    return [line for line in block.splitlines() if not line.startswith("#")]


def run(command: str, gateway: Gateway, cwd: Path = ROOT) -> str:
    command = command.replace("http://127.0.0.1:8000/", f"{gateway.url}/")
    command = command.replace("@examples/", f"@{ROOT}/examples/")
    done = subprocess.run(["sh", "-c", command], cwd=cwd, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_pick_review_health_figures_413_and_429(server: LaunchedServer) -> None:
    gateway = Gateway({}, server)
    try:
        gateway.wait_until_ready()
        pick, review, health, figures, too_large, flood = (
            run(line, gateway) for line in lines("gateway")
        )
    finally:
        gateway.close()
    assert len(json.loads(pick)["ranking"]) == 14
    assert json.loads(review)["errors"] == 1
    assert json.loads(health)["status"] == "healthy"
    assert json.loads(figures)["total_requests"] >= 2
    assert json.loads(too_large)["code"] == "body_too_large"
    # One review came before these six, so the fifth of them is the first too many.
    statuses = [int(status) for status in re.findall(r"^HTTP/1.1 (\d+)", flood, re.M)]
    assert statuses == [200, 200, 200, 200, 429, 429]
    assert "Retry-After: 12" in flood
    assert "rate_limited" in flood


def test_401_and_a_key(server: LaunchedServer, tmp_path: Path) -> None:
    make_key, without, with_key = lines("keys")
    subprocess.run(["sh", "-c", make_key], cwd=tmp_path, check=True)
    gateway = Gateway({"API_KEYS_FILE": str(tmp_path / "keys.txt")}, server)
    try:
        gateway.wait_until_ready()
        assert "missing_api_key" in run(without, gateway, tmp_path)
        assert run(with_key, gateway, tmp_path).startswith("HTTP/1.1 200 OK")
    finally:
        gateway.close()
