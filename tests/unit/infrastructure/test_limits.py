"""Limits are read, checked as a whole, and overridden by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infrastructure.errors import SettingsError
from infrastructure.limits import LIMITS_FILE, Limits, load_limits, main

FILE: dict[str, Any] = json.loads(LIMITS_FILE.read_text(encoding="utf-8"))


@pytest.fixture
def write(tmp_path: Path):
    """Write the file with some limits replaced, added, or (None) left out."""

    def write_file(section: str = "gateway", **changes: Any) -> Path:
        document = json.loads(json.dumps(FILE))
        document[section] |= changes
        document[section] = {
            name: value for name, value in document[section].items() if value is not None
        }
        path = tmp_path / "limits.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return write_file


def test_every_limit_of_the_file_is_read() -> None:
    limits = load_limits(env={})
    for section in FILE.keys() - {"$schema"}:
        struct = getattr(limits, section)
        assert {name: getattr(struct, name) for name in struct.__struct_fields__} == FILE[section]


def test_another_file_is_read(write) -> None:
    assert load_limits(write(picks_per_ip_per_min=7), {}).gateway.picks_per_ip_per_min == 7


@pytest.mark.parametrize(
    ("section", "changes", "complaint"),
    [
        ("gateway", {"picks_per_ip_per_min": 0}, r"`int` >= 1.*picks_per_ip_per_min"),
        ("gateway", {"picks_per_ip_per_min": "100"}, "got `str`"),
        ("gateway", {"picks_per_ip_per_min": 1.5}, "got `float`"),
        ("gateway", {"picks_per_ip_per_min": True}, "got `bool`"),
        ("gateway", {"picks_per_ip_per_min": None}, "missing required field"),
        ("gateway", {"pick_per_ip": 5}, "unknown field `pick_per_ip`"),
        ("gateway", {"body_bytes": 2_000_000}, "body_bytes must not exceed"),
        ("gateway", {"answer_timeout_s": 10}, "answer_timeout_s must exceed"),
        ("gateway", {"uri_bytes": 10_000}, "uri_bytes must not exceed"),
        ("gateway", {"header_lines_bytes": 9000}, "multiple of header_line_bytes"),
        ("waf", {"picks_per_ip": 9}, "`int` >= 10"),
        ("waf", {"picks_window_s": 90}, "90"),
    ],
)
def test_a_bad_limit_is_refused_with_its_name(
    write, section: str, changes: dict[str, Any], complaint: str
) -> None:
    path = write(section, **changes)
    with pytest.raises(SettingsError, match=complaint) as caught:
        load_limits(path, {})
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"gateway": {}}'])
def test_what_is_no_limits_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "limits.json"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"limits\.json"):
        load_limits(path, {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.json cannot be read: No such file"):
        load_limits(tmp_path / "none.json", {})


@pytest.mark.parametrize("text", ["250", "250/minute", " 250/minute "])
def test_rate_limit_is_picks_a_minute_of_an_address(text: str) -> None:
    assert changed({"RATE_LIMIT": text}) == {"picks_per_ip_per_min": 250}


@pytest.mark.parametrize("text", ["50", "50/second"])
def test_rate_limit_per_second_is_requests_of_a_key(text: str) -> None:
    assert changed({"RATE_LIMIT_PER_SECOND": text}) == {"requests_per_key_per_s": 50}


def test_a_low_rate_lowers_its_burst() -> None:
    assert changed({"RATE_LIMIT": "3", "RATE_LIMIT_PER_SECOND": "2"}) == {
        "picks_per_ip_per_min": 3,
        "picks_per_ip_burst": 3,
        "requests_per_key_per_s": 2,
        "requests_per_key_burst": 2,
    }


def test_empty_values_override_nothing() -> None:
    assert changed({"RATE_LIMIT": "", "RATE_LIMIT_PER_SECOND": " "}) == {}


@pytest.mark.parametrize("name", ["RATE_LIMIT", "RATE_LIMIT_PER_SECOND"])
@pytest.mark.parametrize(
    "text", ["0", "-1", "1.5", "many", "100/hour", "/minute", "²", "1000001", "1 000"]
)
def test_what_is_no_rate_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} must be") as caught:
        load_limits(env={name: text})
    assert repr(text) in str(caught.value)


def test_one_units_form_is_not_taken_for_the_other() -> None:
    with pytest.raises(SettingsError, match="100/minute, not '5/second'"):
        load_limits(env={"RATE_LIMIT": "5/second"})


def test_the_command_shows_what_is_in_force(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["limits"])
    monkeypatch.setenv("RATE_LIMIT", "42")
    monkeypatch.delenv("RATE_LIMIT_PER_SECOND", raising=False)
    assert main() == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["gateway"]["picks_per_ip_per_min"] == 42
    assert shown["waf"] == FILE["waf"]
    monkeypatch.setenv("RATE_LIMIT", "none")
    assert main() == 1
    assert "RATE_LIMIT must be" in capsys.readouterr().err


def changed(env: dict[str, str]) -> dict[str, int]:
    """The gateway's limits that `env` changes; nothing else may change."""
    before, after = load_limits(env={}), load_limits(env=env)
    assert isinstance(after, Limits)
    for section in ("waf", "api_gateway", "usage_plan", "torchserve"):
        assert getattr(before, section) == getattr(after, section)
    return {
        name: getattr(after.gateway, name)
        for name in after.gateway.__struct_fields__
        if getattr(after.gateway, name) != getattr(before.gateway, name)
    }
