"""Rank the pack in a file and show it: `python -m infrastructure.predict FILE` (`make predict`).

Asks the server when one listens. Without one it loads the weights itself, and says so.

Exit code 0 when every pick was answered, 1 when the server or the weights failed, 2 when the file
(or a pick in it) is not a request.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from infrastructure.errors import SettingsError
from infrastructure.settings import LOOPBACK, ROOT, inference_port
from infrastructure.table import Style, render_pick, render_problem

_TIMEOUT_S = 60.0
_FAILED, _BAD_FILE = 1, 2


class PredictError(Exception):
    """No answer; `exit_code` tells whose fault it was."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NoServer(Exception):
    """Nothing listens at the address."""


def read_body(path: Path) -> bytes:
    """Return the request in `path`, known to be a JSON object."""
    try:
        body = path.read_bytes()
        document = json.loads(body)
    except FileNotFoundError:
        raise PredictError(f"there is no file {path}", _BAD_FILE) from None
    except OSError as error:
        raise PredictError(f"cannot read {path}: {error.strerror}", _BAD_FILE) from None
    except (ValueError, RecursionError) as error:
        raise PredictError(f"{path} is not JSON: {error}", _BAD_FILE) from None
    if not isinstance(document, dict):
        raise PredictError(f"{path} holds no JSON object: write {{'pack': [...]}}", _BAD_FILE)
    return body


def ask_server(body: bytes, url: str) -> dict[str, Any]:
    """Return the server's answer to `body`.

    Raises:
        NoServer: nothing listens at `url`.
        PredictError: it answered with an error, or with something that is no answer.
    """
    with requests.Session() as session:
        # A proxy from the environment cannot reach a server on this machine.
        session.trust_env = False
        try:
            reply = session.post(
                url, data=body, headers={"Content-Type": "application/json"}, timeout=_TIMEOUT_S
            )
        except requests.ConnectionError as error:
            raise NoServer(str(error)) from None
        except requests.RequestException as error:
            raise PredictError(f"{url} gave no answer: {error}", _FAILED) from None
    try:
        document = reply.json()
    except ValueError:
        document = None
    if reply.ok and isinstance(document, dict):
        return document
    fault = _BAD_FILE if 400 <= reply.status_code < 500 else _FAILED
    raise PredictError(_refusal(reply.status_code, document, url), fault)


def _refusal(status: int, document: Any, url: str) -> str:
    """Say why, from our own problem body or from TorchServe's {code, type, message}."""
    fields = document if isinstance(document, dict) else {}
    if "detail" in fields:
        return f"the request is refused: {render_problem(fields)}"
    return f"{url} answered {status}: {fields.get('message', 'without saying why')}"


def ask_model(body: bytes, weights: Path) -> dict[str, Any]:
    """Answer `body` in this process, in the form the server would."""
    # Imported here: torch takes a second, which a reachable server makes needless.
    import msgspec

    from model import PickRequest, Recommender
    from model.cards import ReviewRequest
    from model.checkpoint import CheckpointError

    try:
        is_review = "requests" in json.loads(body)
        if is_review:
            raw = msgspec.json.decode(body, type=ReviewRequest).requests
            picks = msgspec.convert(raw, list[PickRequest])
        else:
            picks = [msgspec.json.decode(body, type=PickRequest)]
        answers = msgspec.to_builtins(Recommender.load(weights).recommend(picks))
    except msgspec.ValidationError as error:
        raise PredictError(f"the request is refused: {error}", _BAD_FILE) from None
    except CheckpointError as error:
        raise PredictError(f"no server, and no weights to do without: {error}", _FAILED) from None
    return {"results": answers} if is_review else answers[0]


def show(document: dict[str, Any], style: Style) -> int:
    """Print every pick of an answer; return the number of picks that were refused."""
    results = document.get("results")
    if results is None:
        print(render_pick(document, style))
        return 0
    failed = 0
    for number, result in enumerate(results, 1):
        print(style.bold(f"Pick {number} of {len(results)}"))
        if "error" in result:
            failed += 1
            print(style.warn(f"  refused: {render_problem(result['error'])}\n"))
        else:
            print(render_pick(result, style) + "\n")
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m infrastructure.predict", description="Rank the pack in a file."
    )
    parser.add_argument("file", type=Path, help="a request: {'pack': [...]} or {'requests': [...]}")
    parser.add_argument("--url", help="where predictions are served (this machine, port $PORT)")
    parser.add_argument("--weights", type=Path, default=ROOT / "model" / "weights")
    options = parser.parse_args(arguments)
    try:
        port = inference_port(os.environ)
        url = options.url or f"http://{LOOPBACK}:{port}/predictions/draft"
        body = read_body(options.file)
        try:
            document = ask_server(body, url)
        except NoServer:
            print(f"draft: no server at {url}, scoring in this process", file=sys.stderr)
            document = ask_model(body, options.weights)
    except SettingsError as error:
        print(f"draft: {error}", file=sys.stderr)
        return _FAILED
    except PredictError as error:
        print(f"draft: {error}", file=sys.stderr)
        return error.exit_code
    return _BAD_FILE if show(document, Style.of(sys.stdout)) else 0


if __name__ == "__main__":
    sys.exit(main())
