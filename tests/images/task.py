"""The two containers as the Fargate task runs them (infrastructure/modules/service/main.tf).

A pod is what a task is: containers that share a network, and a volume at /tmp. Their roots are
read-only, nobody in them is root or has a capability, and together they have the task's 4 GB.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

import psutil
import requests

from infrastructure.limits import load_limits

from .podman import Podman
from .sockets import refuses

READY_FILE = "/tmp/ready"
LIMITS = load_limits(env={})
PORT = 8000
# A contract test holds the names to main.tf.
ENVIRONMENT = {
    "torchserve": {
        "WORKERS": "2",
        "JOB_QUEUE_SIZE": str(LIMITS.torchserve.waiting_requests),
        "READY_FILE": READY_FILE,
        "AWS_DEFAULT_REGION": "us-west-2",
    },
    "gateway": {
        "BIND_ADDRESS": "0.0.0.0",
        "GATEWAY_PORT": str(PORT),
        "TRUSTED_PROXIES": "10.0.128.0/20,10.0.144.0/20",
        "CLIENT_ADDRESS_HEADER": "X-Draft-Client-Address",
        "READY_FILE": READY_FILE,
    },
}
# Of the task's 4 GB; Fargate has one limit for both.
MEMORY = {"torchserve": "3584m", "gateway": "512m"}
# As main.tf computes it.
STOP_S = LIMITS.gateway.drain_s + 10
START_S = 120.0
JSON = {"Content-Type": "application/json"}


class Task:
    """A task that can be started container by container.

    Attributes:
        url: of the gateway, without a slash at the end.
        host: the address at which containers reach this machine.
    """

    def __init__(self, podman: Podman, images: Mapping[str, str]) -> None:
        self._podman = podman
        self._images = images
        self._name = f"draft-test-{uuid.uuid4().hex[:12]}"
        self._started: dict[str, float] = {}
        try:
            podman(
                "pod",
                "create",
                f"--name={self._name}",
                f"--infra-name={self._name}-infra",
                f"--publish=127.0.0.1::{PORT}",
            )
            podman("pod", "start", self._name)
            infra = self._inspect(f"{self._name}-infra")["NetworkSettings"]
            self.url = f"http://127.0.0.1:{infra['Ports'][f'{PORT}/tcp'][0]['HostPort']}"
            self.host = next(iter(infra["Networks"].values()))["Gateway"]
        except BaseException:
            self.close()
            raise
        self.http = requests.Session()
        # Proxies are for other machines.
        self.http.trust_env = False

    def __enter__(self) -> Task:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self, container: str, **env: str) -> None:
        """Start `torchserve` or `gateway` with the task definition's environment and more."""
        given = ENVIRONMENT[container] | env
        self._started[container] = time.monotonic()
        self._podman(
            "run",
            "--detach",
            f"--pod={self._name}",
            f"--name={self._name}-{container}",
            "--read-only",
            "--read-only-tmpfs=false",
            "--user=10001:10001",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
            f"--memory={MEMORY[container]}",
            f"--stop-timeout={STOP_S}",
            # A named volume gets the folder's owner and mode from the image, as ECS's does.
            f"--volume={self._name}:/tmp",
            *(f"--env={name}={value}" for name, value in given.items()),
            self._images[container],
        )

    def seconds_since_start(self, container: str) -> float:
        """Since podman was asked to start it."""
        return time.monotonic() - self._started[container]

    def wait_until_healthy(self, container: str) -> None:
        """Wait until the image's own health check passes; an end of the container is a failure."""
        while self.health(container)[0]:
            assert self.running(container), self.log(container)
            assert self.seconds_since_start(container) < START_S, self.log(container)
            time.sleep(0.05)

    def health(self, container: str) -> tuple[int, str]:
        """Exit code and output of the image's own health check."""
        done = self._podman.try_("healthcheck", "run", f"{self._name}-{container}")
        return done.returncode, done.stdout + done.stderr

    def wait_until_listening(self) -> None:
        """Wait until the gateway takes connections."""
        while refuses(self.url):
            assert self.seconds_since_start("gateway") < START_S, self.log("gateway")
            time.sleep(0.05)

    def wait_for_answer(self, body: Mapping[str, Any]) -> float:
        """Ask for a pick until it is answered; seconds since the start of torchserve."""
        while True:
            with contextlib.suppress(requests.ConnectionError):
                if self.pick(body).ok:
                    return self.seconds_since_start("torchserve")
            assert self.seconds_since_start("torchserve") < START_S, self.log("torchserve")
            time.sleep(0.05)

    def pick(self, body: Mapping[str, Any]) -> requests.Response:
        """A pick through the gateway."""
        return self.http.post(
            f"{self.url}/api/v1/draft/pick", data=json.dumps(body), headers=JSON, timeout=30
        )

    def run_in(self, container: str, *command: str) -> tuple[int, str]:
        """Exit code and output of a command in a running container."""
        done = self._podman.try_("exec", f"{self._name}-{container}", *command)
        return done.returncode, done.stdout + done.stderr

    def stop(self, container: str) -> int:
        """SIGTERM, and SIGKILL after the stop time-out, as ECS does; the exit code."""
        self._podman("stop", f"{self._name}-{container}")
        return self.exit_code(container)

    def wait_for_end(self, container: str) -> int:
        """Wait until it ends by itself; the exit code."""
        return int(self._podman("wait", f"{self._name}-{container}"))

    def running(self, container: str) -> bool:
        """Whether its first process is there."""
        return bool(self._inspect(f"{self._name}-{container}")["State"]["Running"])

    def exit_code(self, container: str) -> int:
        """Of its first process, once it has ended."""
        return int(self._inspect(f"{self._name}-{container}")["State"]["ExitCode"])

    def log(self, container: str) -> str:
        """What it wrote so far."""
        done = self._podman.try_("logs", f"{self._name}-{container}")
        return done.stdout + done.stderr

    def processes(self, container: str) -> list[psutil.Process]:
        """All that runs in it."""
        first = psutil.Process(self._inspect(f"{self._name}-{container}")["State"]["Pid"])
        return [first, *first.children(recursive=True)]

    def resident_bytes(self, container: str) -> int:
        """Resident memory of its processes; pages that they share count for each."""
        return sum(each.memory_info().rss for each in self.processes(container))

    def cpu_s(self, container: str) -> float:
        """CPU time of its processes so far, also of those that ended."""
        return sum(sum(each.cpu_times()[:4]) for each in self.processes(container))

    def close(self) -> None:
        """Remove containers, network and volume."""
        self._podman.try_("pod", "rm", "--force", "--time=0", self._name)
        self._podman.try_("volume", "rm", "--force", self._name)

    def _inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._podman("inspect", "--type=container", container))[
            0
        ]
        return found
