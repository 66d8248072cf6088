"""Whether a worker can answer: asked of the management API, because /ping is always "Healthy"."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

from infrastructure.errors import ServerError
from infrastructure.settings import LOOPBACK, MODEL_NAME

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What TorchServe says of the model.

    Attributes:
        version: of the archive being served.
        ready: number of workers that can answer.
        waiting: number of requests in the queue.
        pids: of all workers, ready or not; a changed pid is a worker that died and came back.
    """

    version: str
    ready: int
    pids: frozenset[int]
    waiting: int


def model_status(management_port: int, timeout_s: float = _TIMEOUT_S) -> ModelStatus | None:
    """Ask the server on this machine for its model; None while nothing listens there.

    Raises:
        ServerError: when the server is up and has no such model. It opens its ports only after
            it has read the archives, so the model will not come later.
    """
    connection = http.client.HTTPConnection(LOOPBACK, management_port, timeout=timeout_s)
    try:
        connection.request("GET", f"/models/{MODEL_NAME}")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if answer.status == http.HTTPStatus.NOT_FOUND:
        raise ServerError(
            f"TorchServe did not load the model {MODEL_NAME!r}: its log above says why"
        )
    if answer.status != http.HTTPStatus.OK:
        raise ServerError(
            f"the management API answered {answer.status} to GET /models/{MODEL_NAME}: "
            f"{body[:200].decode(errors='replace')}"
        )
    model = json.loads(body)[0]
    workers = model["workers"]
    return ModelStatus(
        version=str(model["modelVersion"]),
        ready=sum(worker["status"] == "READY" for worker in workers),
        pids=frozenset(int(worker["pid"]) for worker in workers if int(worker["pid"]) > 0),
        waiting=int(model["jobQueueStatus"]["pendingRequests"]),
    )
