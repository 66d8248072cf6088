"""One load test from start to verdict: `make loadtest SCENARIO=per_ip`.

Starts the server and the gateway, unless HOST names a running one, lets locust play the scenario,
judges what came of it, writes the reports, and stops what it started. The exit code is 0 when
every check passed, 1 when one failed, 2 when the test could not be run.

    SCENARIO      which one (`python -m loadtests.scenarios` lists them)
    HOST          a running gateway or deployment, https://…; one on this machine is one of ours
    API_KEY       for HOST, when it asks for one
    SHORT         1: seconds instead of minutes, as in CI
    LIMITS_FILE   the limits to assert (config/limits.json)
    OUTPUT        folder of the reports (build/loadtests/<scenario>)
    KEEP          1: put summary, figures and picture into loadtests/results as well
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from infrastructure.errors import SettingsError
from infrastructure.limits import LIMITS_FILE, load_limits
from loadtests import kept, memory, samples
from loadtests.kept import RESULTS
from loadtests.memory import MemoryWatch
from loadtests.picture import draw
from loadtests.scenarios import SCENARIOS, Callers, Scenario
from loadtests.servers import ARCHIVE, ROOT, BenchError
from loadtests.stack import Stack, nginx_is_missing, stack
from loadtests.summary import summary
from loadtests.verdict import judge_memory, judge_run

LOCUSTFILE = Path(__file__).parent / "locustfile.py"
UI_PORT = 8089
_GRACE_S = 90.0
"""Beyond the scenario's own length, for locust's start and end; then it is stopped."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to run, and against what."""

    scenario: Scenario
    host: str
    short: bool
    limits: Path
    output: Path
    ui: bool = False
    keep: bool = False

    @property
    def remote(self) -> bool:
        """Whether the host is a deployment: one that does not take our word for addresses."""
        return bool(self.host) and not is_loopback(self.host)


def is_loopback(url: str) -> bool:
    """Whether the address is this machine's own."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def main(arguments: list[str] | None = None) -> int:
    # `make` and CI stop with SIGTERM: everything that was started has to end then as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        options = read_options(arguments)
        with servers(options) as started:
            return play(options, started)
    except (BenchError, SettingsError) as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("loadtest: stopped", file=sys.stderr)
        return 130


def read_options(arguments: list[str] | None) -> Options:
    """From the environment, as make passes it on, or from arguments.

    Raises:
        BenchError: something about them cannot be run.
    """
    env = os.environ
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", nargs="?", default=env.get("SCENARIO", ""))
    parser.add_argument("--host", default=env.get("HOST", ""))
    parser.add_argument("--short", action="store_true", default=_is_set("SHORT"))
    parser.add_argument("--limits", default=env.get("LIMITS_FILE") or LIMITS_FILE, type=Path)
    parser.add_argument("--output", default=env.get("OUTPUT", ""), type=str)
    parser.add_argument("--ui", action="store_true", help="locust's web UI instead of a verdict")
    parser.add_argument("--keep", action="store_true", default=_is_set("KEEP"))
    given = parser.parse_args(arguments)
    scenario = SCENARIOS.get(given.scenario)
    if scenario is None:
        wrong = (
            f"there is no scenario {given.scenario!r}" if given.scenario else "SCENARIO is not set"
        )
        raise BenchError(f"{wrong}: choose one of {', '.join(SCENARIOS)}")
    if given.host and not given.host.startswith(("http://", "https://")):
        raise BenchError(f"HOST must begin with http:// or https://, not {given.host!r}")
    load_limits(given.limits)
    output = Path(given.output) if given.output else ROOT / "build" / "loadtests" / scenario.name
    options = Options(scenario, given.host, given.short, given.limits, output, given.ui, given.keep)
    if options.remote and scenario.remote == ():
        raise BenchError(
            f"{scenario.name} runs against a server on this machine only: the limits of a "
            "deployment would refuse the load before it meets the queue"
        )
    if options.host and scenario.callers is Callers.KEYS and not env.get("API_KEY"):
        raise BenchError(f"{scenario.name} against a running gateway needs API_KEY, a key it knows")
    if not options.host:
        if nginx_is_missing():
            raise BenchError("nginx is not installed: run `make system-packages`, or set HOST")
        if not ARCHIVE.is_file():
            raise BenchError("there is no archive: run `make mar`")
    return options


def _is_set(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


@contextlib.contextmanager
def servers(options: Options) -> Iterator[Stack | None]:
    """A stack that fits the scenario; None where HOST names what is to be tested."""
    if options.host:
        yield None
        return
    scenario = options.scenario
    # Twice: the callers below the limit are others than those who flood it.
    keys = 2 * scenario.caller_count if scenario.callers is Callers.KEYS else 0
    settings = dict(scenario.server) | {"LIMITS_FILE": str(options.limits)}
    with stack(options.output, keys, settings) as started:
        yield started


def play(options: Options, started: Stack | None) -> int:
    """Let locust run, judge, and report; return the exit code."""
    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    for name in (samples.RUN, samples.SAMPLES):
        (output / name).unlink(missing_ok=True)
    host = started.url if started else options.host
    watch = MemoryWatch(started.pid) if started else None
    try:
        ended = _locust(options, host, started)
    finally:
        if watch:
            watch.close()
    if options.ui:
        return ended
    return report(options, watch.series if watch else {})


def report(options: Options, series: dict[str, list[tuple[float, int]]]) -> int:
    """Judge the run in the output folder and write summary and picture; return the exit code."""
    output = options.output
    try:
        run, rows = samples.read(output)
    except FileNotFoundError:
        raise BenchError("locust ended without a result: see its messages above") from None
    checks = judge_run(run, rows, load_limits(options.limits))
    soak = next((stage for stage in run.stages if stage.name == "soak"), None)
    if soak and series:
        begin = run.zero + soak.begin
        checks += judge_memory(memory.growth(series, begin, begin + soak.seconds), run.short)
        memory.write(series, output / "memory.csv", run.zero)
    text = summary(run, rows, checks)
    (output / "summary.md").write_text(text, encoding="utf-8")
    draw(run, rows, output / "picture.svg", series if soak else None)
    if options.keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{run.scenario}.md").write_text(text, encoding="utf-8")
        shutil.copy(output / "picture.svg", RESULTS / f"{run.scenario}.svg")
        kept.keep(run, rows, checks, RESULTS)
    print(text)
    print(f"loadtest: reports in {os.path.relpath(output)}")
    return 0 if all(check.passed for check in checks) else 1


def _locust(options: Options, host: str, started: Stack | None) -> int:
    scenario, output = options.scenario, options.output
    seconds = scenario.seconds(options.short, options.remote)
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", host]
    command += ["--scenario", scenario.name, "--limits", str(options.limits.absolute())]
    command += ["--output", str(output.absolute()), "--stop-timeout", "30", "--loglevel", "ERROR"]
    command += ["--short"] * options.short + ["--remote"] * options.remote
    if started and started.keys_file:
        command += ["--keys", str(started.keys_file)]
    if options.ui:
        print(f"loadtest: locust's web UI is at http://127.0.0.1:{UI_PORT}; Ctrl-C ends it")
        command += ["--web-host", "127.0.0.1", "--web-port", str(UI_PORT)]
    else:
        print(f"loadtest: {scenario.name}: {seconds:.0f} s against {host}", flush=True)
        command += ["--headless", "--only-summary", "--csv", str(output / "locust")]
        command += ["--csv-full-history", "--html", str(output / "report.html")]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        return process.wait(None if options.ui else seconds + _GRACE_S)
    except subprocess.TimeoutExpired:
        raise BenchError(f"locust had not ended {_GRACE_S:.0f} s after its time") from None
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


if __name__ == "__main__":
    sys.exit(main())
