"""The limits that the load tests assert: those of config/limits.json, as a caller meets them.

The file is read here and not taken over from the running gateway: a gateway that still applies
the numbers of yesterday has to fail.
"""

from __future__ import annotations

from dataclasses import dataclass

from infrastructure.limits import Limits

NAMES = ("picks_per_ip", "reviews_per_ip", "key")


@dataclass(frozen=True, slots=True)
class Limit:
    """A token bucket: `burst` requests at once after a pause, refilled with `per_second`.

    `layer` says who applies it, for people.
    """

    layer: str
    per_second: float
    burst: int

    def most(self, seconds: float) -> float:
        """How many requests pass in `seconds` when the bucket is full at first."""
        return self.burst + self.per_second * seconds


@dataclass(frozen=True, slots=True)
class Bound:
    """The limits that hold for a caller together; the strictest decides."""

    limits: tuple[Limit, ...]

    @property
    def strictest(self) -> Limit:
        return min(self.limits, key=lambda limit: limit.per_second)

    def most(self, seconds: float) -> float:
        """How many requests pass in `seconds` when all buckets are full at first."""
        return min(limit.most(seconds) for limit in self.limits)


def bound(limits: Limits, name: str, remote: bool) -> Bound:
    """The limits that a caller of a scenario about the limit `name` (of `NAMES`) meets.

    Here that is the named one alone: callers have as many addresses and keys as they need. On
    a deployment a caller is one address with one key, and meets those of every layer.
    """
    gateway = limits.gateway
    address = {
        "picks_per_ip": Limit(
            "gateway, picks of an address",
            gateway.picks_per_ip_per_min / 60,
            gateway.picks_per_ip_burst,
        ),
        "reviews_per_ip": Limit(
            "gateway, reviews of an address",
            gateway.reviews_per_ip_per_min / 60,
            gateway.reviews_per_ip_burst,
        ),
    }
    key = Limit(
        "gateway, requests of a key", gateway.requests_per_key_per_s, gateway.requests_per_key_burst
    )
    if not remote:
        return Bound(((address | {"key": key})[name],))
    plan, stage, waf = limits.usage_plan, limits.api_gateway, limits.waf
    return Bound(
        (
            address.get(name, address["picks_per_ip"]),
            key,
            Limit("usage plan, requests of a key", plan.requests_per_s, plan.burst),
            Limit("API Gateway stage, all requests", stage.requests_per_s, stage.burst),
            # A count in a window: all of it may come at once.
            Limit(
                "WAF, picks of an address", waf.picks_per_ip / waf.picks_window_s, waf.picks_per_ip
            ),
        )
    )
