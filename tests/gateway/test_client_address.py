"""Behind API Gateway the client's address comes in a header of another name."""

from __future__ import annotations

import pytest

from infrastructure.errors import SettingsError
from infrastructure.gateway.settings import GatewaySettings

from .conftest import StartGateway


def test_only_the_named_header_tells_the_address(start_gateway: StartGateway) -> None:
    gateway = start_gateway(
        {"picks_per_ip_per_min": 1, "picks_per_ip_burst": 1},
        TRUSTED_PROXIES="127.0.0.1",
        CLIENT_ADDRESS_HEADER="X-Draft-Client-Address",
    )
    told = [gateway.post(X_Draft_Client_Address=f"203.0.113.{number}") for number in range(3)]
    assert [reply.status_code for reply in told] == [200, 200, 200]
    spoofed = [gateway.post(X_Forwarded_For=f"203.0.113.{number}") for number in range(5, 8)]
    assert [reply.status_code for reply in spoofed] == [200, 429, 429]


@pytest.mark.parametrize("name", ["X Header", "header:", "1st", "a" * 65, 'x";return 200'])
def test_the_header_must_be_a_name(name: str) -> None:
    with pytest.raises(SettingsError, match="CLIENT_ADDRESS_HEADER must be the name of a header"):
        GatewaySettings.from_environment({"CLIENT_ADDRESS_HEADER": name})
