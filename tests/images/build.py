"""Building the images with `make image`'s program, also where Docker Hub cannot be reached.

The base is Debian's own image where it is here or can be pulled, else one made of Debian's
packages. pip takes its packages over loopback from a folder that the pip of this environment fills:
that pip knows where packages come from on this machine, one in a container does not.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import shlex
import shutil
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from infrastructure.operations.images import local_name
from infrastructure.operations.release_name import release_name

from .podman import TIMED_OUT, Podman, Unavailable, run

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = "docker.io/library/debian:bookworm-slim"
STAND_IN = "localhost/draft-stand-in:bookworm"
REQUIREMENTS = ROOT / "config" / "requirements"
# Stands in every secret of the build, so that it can be looked for in the images.
SECRET = "secret-of-the-build-c41c5e0f"
# Three times what they took on a busy machine of two cores, and no more: where the network is too
# slow for them, the tests are to say so and not to hold up the rest.
PULL_S = 60
BASE_S = 120
DOWNLOAD_S = 240
BUILD_S = 600
# Of layers, on top of what is there: measured.
NEEDED_BYTES = 6_000_000_000


def base_image(podman: Podman, folder: Path) -> str:
    """The image to build from. Raises `Unavailable` where there is none and none can be made."""
    for name in (DEBIAN, STAND_IN):
        if podman.try_("image", "exists", name).returncode == 0:
            return name
    if podman.try_("pull", "--quiet", DEBIAN, timeout=PULL_S).returncode == 0:
        return DEBIAN
    if shutil.which("mmdebstrap") is None:
        raise Unavailable(
            f"{DEBIAN} cannot be pulled, and mmdebstrap, which makes a stand-in, is not installed; "
            "`make image-packages` installs it"
        )
    archive = folder / "base.tar"
    command = ["mmdebstrap", "--quiet", "--variant=minbase"]
    # Without these two it takes a package that moves /bin into /usr, and all of perl with it.
    command += ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged"]
    # As in Debian's slim images.
    left_out = ("man", "locale", "info", "doc")
    command += [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in left_out]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    made = run([*command, "bookworm", str(archive)], os.environ, BASE_S)
    if made.returncode:
        raise Unavailable(
            f"{DEBIAN} cannot be pulled, nor a stand-in made: {made.stderr.strip()[-300:]}"
        )
    podman("import", "--change", "CMD bash", str(archive), STAND_IN)
    archive.unlink()
    return STAND_IN


def prove(podman: Podman, base: str, folder: Path) -> None:
    """Raise `Unavailable` where nothing can be built from `base`, or run in a pod.

    After this a build that fails is the fault of a Dockerfile.
    """
    store = Path(podman("info", "--format={{.Store.GraphRoot}}"))
    free = shutil.disk_usage(store).free
    if free < NEEDED_BYTES:
        raise Unavailable(f"{store} has {free / 1e9:.1f} GB free; layers need 6")
    (folder / "Dockerfile").write_text(f"FROM {base}\nRUN apt-get update\n", encoding="utf-8")
    name = f"draft-proof-{uuid.uuid4().hex[:12]}"
    flags = ["--isolation=chroot", "--pull=never", "--layers=false"]
    built = podman.try_("build", *flags, f"--tag={name}", str(folder), timeout=PULL_S)
    if built.returncode:
        raise Unavailable(f"nothing can be built: {(built.stderr or built.stdout).strip()[-300:]}")
    podman.try_("image", "rm", name)
    pod = ["--rm", f"--pod=new:{name}", "--publish=127.0.0.1::8000", "--memory=64m"]
    ran = podman.try_("run", *pod, "--read-only", "--cap-drop=all", base, "true")
    podman.try_("pod", "rm", "--force", name)
    if ran.returncode:
        raise Unavailable(f"no pod can be run: {ran.stderr.strip()[-300:]}")


def packages(*names: str) -> Path:
    """A folder with the wheels of these requirement files and of all that they need.

    It is kept in `build/` until a requirement changes. Raises `Unavailable` where pip cannot get
    them.
    """
    if torch.version.cuda:
        raise Unavailable(
            "pip brings torch with CUDA here: set PIP_EXTRA_INDEX_URL to PyTorch's index of "
            "CPU wheels, and make the environment anew"
        )
    files = [REQUIREMENTS / name for name in names]
    constraints = REQUIREMENTS / "constraints.txt"
    content = b"".join(file.read_bytes() for file in (*files, constraints))
    kept = ROOT / "build" / "wheels"
    folder = kept / hashlib.sha256(content).hexdigest()[:16]
    if folder.is_dir():
        return folder
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as temporary:
        wheels = Path(temporary) / "wheels"
        wanted = [flag for file in files for flag in ("--requirement", str(file))]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(wheels)]
        done = run([*command, *wanted, "--constraint", str(constraints)], os.environ, DOWNLOAD_S)
        if done.returncode:
            raise Unavailable(f"pip cannot download packages: {done.stderr.strip()[-300:]}")
        wheels.rename(folder)
    return folder


@contextmanager
def secrets(wheels: Path, folder: Path) -> Iterator[dict[str, Path]]:
    """Files for the secrets of the Dockerfiles: pip's settings and a bundle of certificates."""
    handler = functools.partial(_Quiet, directory=str(wheels))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pip = folder / "pip.conf"
    pip.write_text(
        f"# {SECRET}\n[global]\nno-index = true\n"
        f"find-links = http://127.0.0.1:{server.server_address[1]}/\n",
        encoding="utf-8",
    )
    certificates = folder / "ca.pem"
    certificates.write_text(f"# {SECRET}\n", encoding="utf-8")
    try:
        yield {"pip_conf": pip, "ca_bundle": certificates}
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """pip tells what it could not get."""


def build(
    podman: Podman,
    base: str,
    names: Sequence[str],
    given: dict[str, Path],
    tool: str = "podman",
) -> dict[str, str]:
    """Build images as `make image` does; returns what they are called. Layers are kept."""
    flags = ["--isolation=chroot", "--layers", "--jobs=2", "--pull=never"]
    flags += [f"--secret=id={name},src={file}" for name, file in given.items()]
    env = {key: value for key, value in podman.env.items() if key != "PIP_EXTRA_INDEX_URL"}
    env |= {"CONTAINER_TOOL": tool, "BASE_IMAGE": base, "BUILD_FLAGS": shlex.join(flags)}
    command = [sys.executable, "-m", "infrastructure.operations.images", "build", "--images"]
    done = run([*command, *names], env, BUILD_S, cwd=ROOT)
    if done.returncode == TIMED_OUT:
        raise Unavailable(done.stderr)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    release = release_name(ROOT)
    return {name: f"localhost/{local_name(name, release)}" for name in names}
