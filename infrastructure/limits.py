"""Every limit of the system: `config/limits.json`, read, checked, and frozen.

The file is the only place where a limit is written. The gateway's nginx configuration is rendered
from it, Terraform reads it with `jsondecode(file(…))`, the load tests assert it, and what cannot
read it (the README's table, `config.properties`, `model-config.yaml`) is held to it by tests.

All values are whole numbers; a name ends in its unit (`_s`, `_bytes`) or in what it counts. A
*burst* is how many requests may come at once after a pause: a bucket of that many tokens which the
rate refills, as API Gateway has it.

    python -m infrastructure.limits             the limits in force here, as JSON
    python -m infrastructure.limits --schema    the JSON Schema, config/limits.schema.json
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from infrastructure.errors import SettingsError

LIMITS_FILE = Path(__file__).resolve().parent.parent / "config" / "limits.json"

_RATE_LIMIT = re.compile(r"([0-9]{1,9})(?:/minute)?")
_RATE_LIMIT_PER_SECOND = re.compile(r"([0-9]{1,9})(?:/second)?")
_HIGHEST_RATE = 1_000_000

# AWS takes these windows (seconds) for a rate-based rule, and limits from 10 on.
Window = Literal[60, 120, 300, 600]
WafLimit = Annotated[int, Meta(ge=10, le=2_000_000_000)]
Rate = Annotated[int, Meta(ge=1, le=_HIGHEST_RATE)]
Burst = Annotated[int, Meta(ge=1, le=_HIGHEST_RATE)]
Seconds = Annotated[int, Meta(ge=1, le=600)]
Bytes = Annotated[int, Meta(ge=256, le=10 << 20)]


class Waf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules of the web ACL in front of API Gateway: requests of one address in a window."""

    requests_per_ip: WafLimit
    requests_window_s: Window
    picks_per_ip: WafLimit
    picks_window_s: Window
    pick_body_bytes: Annotated[int, Meta(ge=1024, le=65_536)]
    """WAF sees the first 64 KiB of a body and no more."""


class ApiGateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Throttling of the stage: all callers together.

    API Gateway throttles each method by itself, so the stage's rate belongs to the pick alone and
    reviews, health, figures and preflights have a small one each.
    """

    requests_per_s: Rate
    burst: Burst
    other_requests_per_s: Rate
    other_burst: Burst


class UsagePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one API key may ask of API Gateway."""

    requests_per_s: Rate
    burst: Burst
    requests_per_day: Annotated[int, Meta(ge=1)]


class Gateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What nginx allows. An address is the client's, as told by trusted proxies alone."""

    picks_per_ip_per_min: Rate
    picks_per_ip_burst: Burst
    reviews_per_ip_per_min: Rate
    reviews_per_ip_burst: Burst
    stats_per_ip_per_min: Rate
    stats_per_ip_burst: Burst
    bad_keys_per_ip_per_min: Rate
    bad_keys_per_ip_burst: Burst
    requests_per_key_per_s: Rate
    requests_per_key_burst: Burst
    requests_in_flight_per_ip: Annotated[int, Meta(ge=1, le=65_535)]
    connections_per_worker: Annotated[int, Meta(ge=64, le=65_535)]
    body_bytes: Bytes
    uri_bytes: Bytes
    header_line_bytes: Bytes
    header_lines_bytes: Bytes
    header_timeout_s: Seconds
    body_timeout_s: Seconds
    send_timeout_s: Seconds
    keepalive_timeout_s: Seconds
    connect_timeout_s: Seconds
    answer_timeout_s: Seconds
    retry_after_s: Seconds
    drain_s: Seconds

    def __post_init__(self) -> None:
        if self.uri_bytes > self.header_line_bytes:
            raise ValueError("uri_bytes must not exceed header_line_bytes")
        if self.header_lines_bytes % self.header_line_bytes:
            raise ValueError("header_lines_bytes must be a multiple of header_line_bytes")


class TorchServe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What TorchServe allows; config.properties and model-config.yaml are held to these."""

    waiting_requests: Annotated[int, Meta(ge=1, le=100_000)]
    request_bytes: Bytes
    answer_bytes: Bytes
    answer_timeout_s: Seconds


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every limit of the system, from the outermost layer to the innermost."""

    waf: Waf
    api_gateway: ApiGateway
    usage_plan: UsagePlan
    gateway: Gateway
    torchserve: TorchServe
    schema: str = msgspec.field(default="limits.schema.json", name="$schema")

    def __post_init__(self) -> None:
        if self.gateway.body_bytes > self.torchserve.request_bytes:
            raise ValueError("gateway.body_bytes must not exceed torchserve.request_bytes")
        if self.gateway.answer_timeout_s <= self.torchserve.answer_timeout_s:
            raise ValueError("gateway.answer_timeout_s must exceed torchserve.answer_timeout_s")


def load_limits(path: Path = LIMITS_FILE, env: Mapping[str, str] = os.environ) -> Limits:
    """Read the limits in `path`, with what the environment overrides.

    Raises:
        SettingsError: the file cannot be read or breaks the schema, or RATE_LIMIT or
            RATE_LIMIT_PER_SECOND has a value that is no rate.
    """
    try:
        limits = msgspec.json.decode(path.read_bytes(), type=Limits)
    except OSError as error:
        raise SettingsError(f"the limits in {path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None
    return override(limits, env)


def override(limits: Limits, env: Mapping[str, str]) -> Limits:
    """Return the limits with RATE_LIMIT and RATE_LIMIT_PER_SECOND put in.

    RATE_LIMIT is `gateway.picks_per_ip_per_min`, RATE_LIMIT_PER_SECOND is
    `gateway.requests_per_key_per_s`. A burst above the rate is cut down to it: who sets 5 a minute
    does not mean 20 at once.
    """
    changes: dict[str, int] = {}
    gateway = limits.gateway
    per_minute = _rate(env, "RATE_LIMIT", _RATE_LIMIT, "minute")
    if per_minute is not None:
        changes["picks_per_ip_per_min"] = per_minute
        changes["picks_per_ip_burst"] = min(gateway.picks_per_ip_burst, per_minute)
    per_second = _rate(env, "RATE_LIMIT_PER_SECOND", _RATE_LIMIT_PER_SECOND, "second")
    if per_second is not None:
        changes["requests_per_key_per_s"] = per_second
        changes["requests_per_key_burst"] = min(gateway.requests_per_key_burst, per_second)
    if not changes:
        return limits
    return msgspec.structs.replace(limits, gateway=msgspec.structs.replace(gateway, **changes))


def _rate(env: Mapping[str, str], name: str, form: re.Pattern[str], unit: str) -> int | None:
    text = env.get(name, "").strip()
    if not text:
        return None
    found = form.fullmatch(text)
    rate = int(found[1]) if found else 0
    if not 1 <= rate <= _HIGHEST_RATE:
        raise SettingsError(
            f"{name} must be a whole number of requests from 1 to {_HIGHEST_RATE}, such as 100 or "
            f"100/{unit}, not {text!r}"
        )
    return rate


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, derived from the classes above."""
    derived: dict[str, Any] = msgspec.json.schema(Limits)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Limits of the MTG draft recommender",
        **derived,
    }


def main() -> int:
    try:
        shown = schema() if "--schema" in sys.argv[1:] else msgspec.to_builtins(load_limits())
    except SettingsError as error:
        print(f"draft: {error}", file=sys.stderr)
        return 1
    print(json.dumps(shown, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
