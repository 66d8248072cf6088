"""Build the archive that TorchServe serves: `python -m training.package_mar`.

Stages the handler, `model/` as a package, the weights and the configuration, lets
torch-model-archiver pack them, and then tries the result: unpacked into an empty folder, with this
repository out of reach, it is loaded by TorchServe's own loader and has to answer one pick. What
does not pass leaves no archive behind.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = "model.safetensors"
META = "meta.json"
HANDLER = ROOT / "handler" / "draft_handler.py"
MODEL_CONFIG = ROOT / "config" / "model-config.yaml"
REQUIREMENTS = ROOT / "config" / "requirements" / "serve.txt"
TRIAL = ROOT / "training" / "try_archive.py"
TRIAL_TIMEOUT_S = 120


class PackagingError(Exception):
    """The archive cannot be built, or does not work; the message says why."""


def package(weights: Path, output: Path) -> None:
    """Build and try the archive `output` with a sha256sum file beside it; both or none appear.

    Raises:
        PackagingError: with the reason, and nothing is at `output`, not even what was there.
    """
    checksum = output.with_name(output.name + ".sha256")
    checksum.unlink(missing_ok=True)
    output.unlink(missing_ok=True)
    check_weights(weights)
    output.parent.mkdir(parents=True, exist_ok=True)
    # Beside the output, so that the finished archive only has to be renamed.
    with tempfile.TemporaryDirectory(prefix=".package-", dir=output.parent) as name:
        work = Path(name)
        built = _archive(weights, _stage(weights, work), work)
        try_archive(built, work / "trial")
        digest = hashlib.sha256(built.read_bytes()).hexdigest()
        built.replace(output)
    checksum.write_text(f"{digest}  {output.name}\n", encoding="ascii")


def check_weights(folder: Path) -> None:
    """Raise `PackagingError` unless `folder` holds weights and the `meta.json` that names them."""
    try:
        meta = json.loads((folder / META).read_bytes())
        digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except OSError as error:
        raise PackagingError(f"cannot read the weights: {error}") from None
    except ValueError as error:
        raise PackagingError(f"{folder / META} is not JSON: {error}") from None
    expected = meta.get("weights_sha256") if isinstance(meta, dict) else None
    if digest != expected:
        raise PackagingError(
            f"{folder / WEIGHTS} is not what {META} describes: "
            f"its sha256 is {digest}, expected {expected}"
        )


def try_archive(archive: Path, folder: Path) -> None:
    """Unpack `archive` into the new `folder` and let it answer one pick from there alone."""
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        # -P keeps the folder of the script, which is this repository, out of sys.path.
        result = subprocess.run(
            [sys.executable, "-P", TRIAL, ROOT / "config" / "metrics.yaml"],
            cwd=folder,
            env=env | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TRIAL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PackagingError(f"the archive gave no answer in {TRIAL_TIMEOUT_S} s") from None
    if result.returncode != 0:
        raise PackagingError(f"the archive does not work by itself:\n{result.stdout.rstrip()}")


def project_version() -> str:
    """Return the version of the project, which is also the version of the archive."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        version: str = tomllib.load(file)["project"]["version"]
    return version


def _stage(weights: Path, work: Path) -> Path:
    """Lay out what the archive holds beside the handler and the weights.

    The archiver copies the handler flat to the root, where `handler.errors` is found because the
    root is the worker's sys.path[0]; sub-folders keep their place.
    """
    stage = work / "stage"
    for package_name in ("handler", "model"):
        target = stage / package_name
        target.mkdir(parents=True)
        for source in sorted((ROOT / package_name).glob("*.py")):
            if source != HANDLER:
                shutil.copyfile(source, target / source.name)
    shutil.copyfile(weights / META, stage / META)
    return stage


def _archive(weights: Path, stage: Path, work: Path) -> Path:
    requirements = work / "requirements.txt"
    shutil.copyfile(REQUIREMENTS, requirements)
    # The archiver collects its files in $TMPDIR/<model name>, and empties that folder first.
    scratch = work / "scratch"
    scratch.mkdir()
    options = {
        "--model-name": "draft",
        "--version": project_version(),
        "--handler": HANDLER,
        "--serialized-file": weights / WEIGHTS,
        "--extra-files": stage,
        "--config-file": MODEL_CONFIG,
        "--requirements-file": requirements,
        "--export-path": work,
    }
    arguments = [str(word) for option in options.items() for word in option]
    result = subprocess.run(
        [sys.executable, "-m", "model_archiver.model_packaging", *arguments, "--force"],
        env=os.environ | {"TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    built = work / "draft.mar"
    if result.returncode != 0 or not built.is_file():
        raise PackagingError(f"torch-model-archiver failed:\n{result.stdout.rstrip()}")
    return built


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.package_mar", description="Build the archive TorchServe serves."
    )
    parser.add_argument("--weights", type=Path, default=ROOT / "model" / "weights")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "draft.mar")
    options = parser.parse_args(arguments)
    try:
        package(options.weights, options.output)
    except PackagingError as error:
        print(f"draft: {error}", file=sys.stderr)
        return 1
    size = options.output.stat().st_size / 1e6
    print(f"draft: {options.output} ({size:.1f} MB), version {project_version()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
