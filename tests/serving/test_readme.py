"""The README's curl, executed as printed, gives the answer that is printed below it."""

import json
import re
import shutil
import subprocess

import pytest

from .server import ROOT, LaunchedServer


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_gives_the_answer_shown(server: LaunchedServer) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command, shown = re.findall(
        r"<!-- curl:begin -->\n```sh\n(.*?)```\n\n```json\n(.*?)```\n<!-- curl:end -->",
        readme,
        re.DOTALL,
    )[0]
    assert command.count("http://127.0.0.1:8080/") == 1
    command = command.replace("http://127.0.0.1:8080/", f"{server.url}/")
    reply = subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=30)
    answer, expected = json.loads(reply.stdout), json.loads(shown)
    for document in (answer, expected):
        assert document.pop("latency_ms") > 0
    # Other processors round the last digits differently.
    shares = answer.pop("pick_probabilities")
    assert shares == pytest.approx(expected.pop("pick_probabilities"), abs=1e-5)
    assert answer.pop("confidence") == pytest.approx(expected.pop("confidence"), abs=1e-5)
    for card in (*answer["ranking"], *expected["ranking"]):
        card["probability"] = round(card["probability"], 4)
    assert answer == expected
