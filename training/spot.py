"""The notice that AWS gives two minutes before it takes a spot machine back.

It appears at `/latest/meta-data/spot/instance-action` of the instance metadata service, in version
2, which asks for a token first: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/
spot-instance-termination-notices.html, which also says to look every five seconds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import requests

ENDPOINT = "http://169.254.169.254"
POLL_SECONDS = 5.0
TIMEOUT_SECONDS = 2.0
"""For an answer; the service is on the same host, and the next look comes soon."""
TOKEN_SECONDS = 21_600
_DMI_VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")
_XEN_UUID = Path("/sys/hypervisor/uuid")


def endpoint(
    environment: Mapping[str, str] = os.environ,
    vendor: Path = _DMI_VENDOR,
    xen_uuid: Path = _XEN_UUID,
) -> str | None:
    """Where the metadata service is; None where there can be none, so nothing is asked for.

    The environment is that of AWS's own tools. Without it, the machine must say that it is one of
    EC2's.
    """
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    if address := environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"):
        return address.rstrip("/")
    for path, start in ((vendor, "amazon ec2"), (xen_uuid, "ec2")):
        try:
            if path.read_text(encoding="ascii", errors="replace").lower().startswith(start):
                return ENDPOINT
        except OSError:
            continue
    return None


class SpotWatcher(threading.Thread):
    """Looks for the notice until it comes or `close` is called.

    Args:
        notify: called once, with what AWS said.
        warn: told once when the service does not answer as it should; the watch goes on.
    """

    def __init__(
        self,
        address: str,
        notify: Callable[[str], None],
        warn: Callable[[str], None],
        poll_seconds: float = POLL_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(name="spot-notice", daemon=True)
        self._address = address
        self._notify = notify
        self._warn = warn
        self._poll_seconds = poll_seconds
        self._timeout = timeout_seconds
        self._closed = threading.Event()
        self._token: str | None = None
        self._warned = False
        self._session = requests.Session()
        # A proxy would be asked for its own host's notice.
        self._session.trust_env = False

    def run(self) -> None:
        with self._session:
            while not self._closed.is_set():
                try:
                    notice = self.look()
                except requests.RequestException as error:
                    self._token = None
                    if not self._warned:
                        self._warned = True
                        self._warn(
                            f"no answer on spot notices from {self._address} ({error}); "
                            "trying again every few seconds"
                        )
                else:
                    if notice is not None:
                        self._notify(notice)
                        return
                self._closed.wait(self._poll_seconds)

    def close(self) -> None:
        self._closed.set()
        self.join(timeout=2 * self._timeout + 1)

    def look(self) -> str | None:
        """The notice, or None. Raises requests.RequestException when the service fails."""
        answer = self._get()
        if answer.status_code == 401:  # the token has expired
            self._token = None
            answer = self._get()
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.text.strip()

    def _get(self) -> requests.Response:
        if self._token is None:
            answer = self._session.put(
                f"{self._address}/latest/api/token",
                headers={"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)},
                timeout=self._timeout,
            )
            answer.raise_for_status()
            self._token = answer.text.strip()
        return self._session.get(
            f"{self._address}/latest/meta-data/spot/instance-action",
            headers={"X-aws-ec2-metadata-token": self._token},
            timeout=self._timeout,
        )
