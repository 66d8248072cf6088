"""The gateway's configuration as a folder: `nginx -p FOLDER -c nginx.conf` runs from it.

Everything in it is relative to the folder, so it can be rendered here and run in a container that
has nothing but nginx. Nothing of the environment is looked at: the settings are the whole input.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
import msgspec

from infrastructure.gateway.problems import PROBLEM_JSON, PROBLEMS
from infrastructure.gateway.settings import ANY_ORIGIN, GatewaySettings
from infrastructure.limits import Gateway
from infrastructure.settings import LOOPBACK

CONFIG = "nginx.conf"
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True)
class Route:
    """A path that is open.

    Attributes:
        name: for limits, and for the access log.
        methods: besides OPTIONS, which CORS needs everywhere.
    """

    path: str
    name: str
    methods: tuple[str, ...]


ROUTES = (
    Route("/api/v1/draft/pick", "pick", ("POST",)),
    Route("/predictions/draft", "pick", ("POST",)),
    Route("/api/v1/draft/review", "review", ("POST",)),
    Route("/health", "health", ("GET", "HEAD")),
    Route("/api/v1/stats", "stats", ("GET", "HEAD")),
)


def render(settings: GatewaySettings, folder: Path, worker_user: str = "") -> Path:
    """Write the configuration into `folder`, replacing what is there, and return its file.

    `worker_user`: whom nginx's workers run as, `name group`; empty unless nginx is started by root.
    """
    (folder / "tmp").mkdir(exist_ok=True)
    text = _TEMPLATES.get_template(f"{CONFIG}.j2").render(
        settings=settings,
        limits=settings.limits.gateway,
        loopback=LOOPBACK,
        routes=ROUTES,
        problems=problem_bodies(settings.limits.gateway),
        problem_json=PROBLEM_JSON,
        plain_problems=[
            ("unknown_route", 404),
            ("method_not_allowed", 405),
            ("body_too_large", 413),
            ("headers_too_large", 431),
            ("not_ready", 503),
            ("timed_out", 504),
        ],
        retry_after=_retry_after(settings),
        any_origin=settings.origins == (ANY_ORIGIN,),
        worker_user=worker_user,
    )
    # The configuration holds the keys: nobody else may read it, not even while it is written.
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{CONFIG}-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(name, folder / CONFIG)
    return folder / CONFIG


def problem_bodies(limits: Gateway) -> Mapping[str, str]:
    """Return the body of every problem by its code, as a text that nginx takes in quotes."""
    numbers = msgspec.structs.asdict(limits)
    bodies = {each.code: each.body(each.detail.format_map(numbers)) for each in PROBLEMS}
    assert not any("'" in body or "\\" in body for body in bodies.values())
    # nginx has no escape for a dollar sign; the configuration defines a variable that is one.
    return {code: body.replace("$", "${dollar}") for code, body in bodies.items()}


def _retry_after(settings: GatewaySettings) -> Mapping[str, int]:
    """Return the seconds after which one more request fits into the limits of a route."""
    limits = settings.limits.gateway
    per_key = _seconds(60 * limits.requests_per_key_per_s) if settings.keys else 1
    return {
        "pick": max(_seconds(limits.picks_per_ip_per_min), per_key),
        "review": max(_seconds(limits.reviews_per_ip_per_min), per_key),
        "stats": max(_seconds(limits.stats_per_ip_per_min), per_key),
        "bad_key": _seconds(limits.bad_keys_per_ip_per_min),
    }


def _seconds(per_minute: int) -> int:
    return math.ceil(60 / per_minute)
