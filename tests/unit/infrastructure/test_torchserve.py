"""Java's command line and environment, without starting it."""

from __future__ import annotations

import itertools
import os
import re
import sys
import zipfile
from pathlib import Path

import psutil
import pytest
from ts.model_server import load_properties

from infrastructure import torchserve
from infrastructure.errors import SettingsError
from infrastructure.java import Java
from infrastructure.settings import ROOT, Settings

JAVA = Java(Path("/opt/java/bin/java"), 17, "PATH")


def test_properties_are_read_as_the_wrapper_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "config.properties"
    path.write_text("# a=comment\n\n key = value \nurl=http://h/?a=b\nno equals sign\n")
    assert torchserve.read_properties(path) == {"key": "value", "url": "http://h/?a=b"}
    assert torchserve.read_properties(path) == load_properties(str(path))


def test_the_command_starts_the_server_class_with_the_files_given(tmp_path: Path) -> None:
    command = torchserve.command(JAVA, Settings.from_environment({}), tmp_path)
    assert command[0] == "/opt/java/bin/java"
    assert command[-1] == "-ncs"
    options = dict(itertools.pairwise(command))
    assert options["-f"] == str(ROOT / "config" / "config.properties")
    assert options["-s"] == str(tmp_path / "store")
    assert options["--python"] == sys.executable
    jars = list(Path(options["-cp"]).parent.glob("*.jar"))
    assert jars, "the class path names a folder with TorchServe's jar"
    vmargs = torchserve.read_properties(ROOT / "config" / "config.properties")["vmargs"].split()
    assert vmargs == [word for word in command if word in vmargs]
    assert command.index(vmargs[-1]) < command.index("org.pytorch.serve.ModelServer")


def test_all_but_predictions_stays_on_loopback_whatever_is_set(tmp_path: Path) -> None:
    settings = Settings.from_environment({"BIND_ADDRESS": "0.0.0.0", "PORT": "9000"})
    child = torchserve.environment(
        settings, tmp_path, {"TS_MANAGEMENT_ADDRESS": "http://0.0.0.0:8081"}
    )
    assert child["TS_INFERENCE_ADDRESS"] == "http://0.0.0.0:9000"
    assert child["TS_MANAGEMENT_ADDRESS"] == "http://127.0.0.1:8081"
    assert child["TS_METRICS_ADDRESS"] == "http://127.0.0.1:8082"
    assert child["TS_GRPC_INFERENCE_ADDRESS"] == child["TS_GRPC_MANAGEMENT_ADDRESS"] == "127.0.0.1"


def test_the_environment_overrides_what_torchserve_knows(tmp_path: Path) -> None:
    """TorchServe reads TS_<NAME> for each of its fields and ignores unknown names silently."""
    child = torchserve.environment(Settings.from_environment({}), tmp_path, {})
    jar = torchserve.package_folder() / "ts" / "frontend" / "model-server.jar"
    with zipfile.ZipFile(jar) as classes:
        code = classes.read("org/pytorch/serve/util/ConfigManager.class")
    known = set(re.findall(rb"TS_[A-Z_]+", code))
    assert {name for name in child if name.startswith("TS_")} <= {name.decode() for name in known}


def test_the_archive_runs_on_its_own_files(tmp_path: Path) -> None:
    env = {"PYTHONPATH": "/elsewhere", "TS_CONFIG_FILE": "/other", "HOME": "/home/me"}
    child = torchserve.environment(Settings.from_environment({}), tmp_path, env)
    assert "PYTHONPATH" not in child
    assert "TS_CONFIG_FILE" not in child
    assert child["HOME"] == "/home/me"


def test_a_folder_too_long_for_sockets_is_refused() -> None:
    torchserve.check_socket_folder(Path("/tmp/draft-abcdefgh"))
    with pytest.raises(SettingsError, match=r"too long a name .*TMPDIR"):
        torchserve.check_socket_folder(Path("/tmp") / ("x" * 90))


def test_stop_ends_a_group_that_ignores_the_polite_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchserve, "_TERM_GRACE_S", 0.2)
    ready = tmp_path / "ready"
    script = f"trap '' TERM; sleep 100 & touch {ready}; while :; do sleep 0.05; done"
    server = torchserve.TorchServe(["/bin/sh", "-c", script], {"PATH": "/usr/bin:/bin"}, tmp_path)
    while not ready.exists():
        assert server.exit_code is None
    assert server.exit_code is None
    server.stop()
    assert server.exit_code == -9
    left = [
        process
        for process in psutil.process_iter()
        if process.status() != psutil.STATUS_ZOMBIE and _group(process.pid) == server.process_group
    ]
    assert left == []


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
