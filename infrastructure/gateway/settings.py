"""What the gateway reads from its environment, checked and frozen."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infrastructure.errors import SettingsError
from infrastructure.gateway.keys import ApiKey, read_keys
from infrastructure.limits import Limits, load_limits
from infrastructure.settings import Settings, gateway_port

ANY_ORIGIN = "*"
FORWARDED_FOR = "X-Forwarded-For"
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_ORIGIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """All that the nginx configuration depends on; raises `SettingsError` for bad values.

    Attributes:
        bind_address, port: where clients connect.
        inference_port, status_port: of TorchServe and of the launcher's status server, both on
            the loopback interface.
        ready_file: exists while a worker is ready; None: nobody keeps such a file.
        trusted_proxies: networks whose header with the client's address is believed.
        client_address_header: its name.
        origins: of web pages that may read answers; `*` alone means any.
        keys: None: no key is asked for.
    """

    bind_address: str
    port: int
    inference_port: int
    status_port: int
    ready_file: Path | None
    limits: Limits
    trusted_proxies: tuple[str, ...] = ()
    client_address_header: str = FORWARDED_FOR
    origins: tuple[str, ...] = (ANY_ORIGIN,)
    keys: tuple[ApiKey, ...] | None = None

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> GatewaySettings:
        """Read and check the variables; those shared with the server are read as it reads them."""
        shared = Settings.from_environment(env)
        return cls(
            bind_address=shared.bind_address,
            port=gateway_port(env, shared.ports),
            inference_port=shared.ports.inference,
            status_port=shared.ports.status,
            ready_file=shared.ready_file,
            limits=load_limits(shared.limits_file, env),
            trusted_proxies=_trusted_proxies(env),
            client_address_header=_header(env),
            origins=_origins(env),
            keys=_keys(env),
        )


def _words(env: Mapping[str, str], name: str) -> list[str]:
    return env.get(name, "").replace(",", " ").split()


def _trusted_proxies(env: Mapping[str, str]) -> tuple[str, ...]:
    networks = []
    for word in _words(env, "TRUSTED_PROXIES"):
        try:
            network = ipaddress.ip_network(word)
        except ValueError as error:
            raise SettingsError(
                "TRUSTED_PROXIES must be addresses or networks such as 10.0.0.0/16, "
                f"not {word!r} ({error})"
            ) from None
        if network.prefixlen == 0:
            raise SettingsError(
                f"TRUSTED_PROXIES {word!r} trusts everybody: any client could choose its address"
            )
        networks.append(str(network))
    return tuple(networks)


def _header(env: Mapping[str, str]) -> str:
    name = env.get("CLIENT_ADDRESS_HEADER", "").strip() or FORWARDED_FOR
    if not _HEADER.fullmatch(name):
        raise SettingsError(
            "CLIENT_ADDRESS_HEADER must be the name of a header, such as "
            f"{FORWARDED_FOR}, not {name!r}"
        )
    return name


def _origins(env: Mapping[str, str]) -> tuple[str, ...]:
    words = _words(env, "CORS_ORIGINS") or [ANY_ORIGIN]
    if words == [ANY_ORIGIN]:
        return (ANY_ORIGIN,)
    for word in words:
        if word == ANY_ORIGIN:
            raise SettingsError("CORS_ORIGINS must be * alone, or a list of origins without it")
        if not _ORIGIN.fullmatch(word):
            raise SettingsError(
                "CORS_ORIGINS must be origins such as https://draft.example.com, without a path, "
                f"not {word!r}"
            )
    # Browsers send scheme and host in lower case.
    return tuple(word.lower() for word in words)


def _keys(env: Mapping[str, str]) -> tuple[ApiKey, ...] | None:
    text = env.get("API_KEYS_FILE", "").strip()
    return read_keys(Path(text).absolute()) if text else None
