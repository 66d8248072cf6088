"""What `make loadtest` takes, and what it refuses before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from infrastructure.errors import SettingsError
from infrastructure.limits import LIMITS_FILE
from loadtests import run
from loadtests.run import is_loopback, main, read_options
from loadtests.scenarios import SCENARIOS
from loadtests.servers import BenchError


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCENARIO", "HOST", "API_KEY", "SHORT", "LIMITS_FILE", "OUTPUT", "KEEP"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.9.9.9", True),
        ("http://localhost:8000", True),
        ("http://[::1]:8000", True),
        ("https://api.example.com", False),
        ("http://10.0.0.7:8000", False),
        ("http://127.0.0.1.example.com", False),
    ],
)
def test_only_this_machine_takes_our_word_for_addresses(url: str, ours: bool) -> None:
    assert is_loopback(url) is ours


def test_the_environment_is_read_as_make_passes_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENARIO", "per_key")
    monkeypatch.setenv("HOST", "https://api.example.com")
    monkeypatch.setenv("API_KEY", "secret")
    monkeypatch.setenv("SHORT", "1")
    options = read_options([])
    assert options.scenario is SCENARIOS["per_key"]
    assert (options.short, options.remote, options.keep) == (True, True, False)
    assert options.limits == LIMITS_FILE
    assert options.output.parts[-3:] == ("build", "loadtests", "per_key")


def test_a_gateway_on_this_machine_is_no_deployment() -> None:
    options = read_options(["overload", "--host", "http://127.0.0.1:8000"])
    assert not options.remote


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "SCENARIO is not set: choose one of steady, burst"),
        (["everything"], "there is no scenario 'everything'"),
        (["steady", "--host", "api.example.com"], "HOST must begin with http"),
        (["overload", "--host", "https://api.example.com"], "on this machine only"),
        (["burst", "--host", "https://api.example.com"], "needs API_KEY"),
        (["per_key", "--host", "http://127.0.0.1:8000"], "needs API_KEY, a key it knows"),
    ],
)
def test_what_cannot_be_run(arguments: list[str], reason: str) -> None:
    with pytest.raises(BenchError, match=reason):
        read_options(arguments)


def test_limits_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_options(["steady", "--host", "http://localhost", "--limits", str(tmp_path / "no")])


@pytest.mark.parametrize("missing", ["nginx", "archive"])
def test_a_machine_that_cannot_serve(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    missing: str,
) -> None:
    monkeypatch.setattr(run, "nginx_is_missing", lambda: missing == "nginx")
    monkeypatch.setattr(run, "ARCHIVE", tmp_path / "draft.mar")
    assert main(["per_ip"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("loadtest: ")
    assert missing in said
    assert "make " in said
