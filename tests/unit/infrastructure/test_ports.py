"""A taken port is found before Java starts, and named with its variable."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from infrastructure.errors import PortError
from infrastructure.ports import check_ports
from infrastructure.settings import Ports, Settings

VARIABLES = tuple(Ports().by_variable())


@pytest.fixture
def sockets() -> Iterator[dict[str, socket.socket]]:
    """One listening socket for each port of the server."""
    opened = {name: socket.create_server(("127.0.0.1", 0)) for name in VARIABLES}
    yield opened
    for each in opened.values():
        each.close()


def environment(sockets: dict[str, socket.socket]) -> dict[str, str]:
    return {name: str(each.getsockname()[1]) for name, each in sockets.items()}


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_taken_port_is_named(sockets: dict[str, socket.socket], variable: str) -> None:
    env = environment(sockets)
    for name, each in sockets.items():
        if name != variable:
            each.close()
    with pytest.raises(PortError) as caught:
        check_ports(Settings.from_environment(env))
    assert f"port {env[variable]} ({variable}) is taken" in str(caught.value)
    assert f"set {variable} to a free port" in str(caught.value)


def test_free_ports_pass_and_stay_free(sockets: dict[str, socket.socket]) -> None:
    env = environment(sockets)
    for each in sockets.values():
        each.close()
    check_ports(Settings.from_environment(env))
    check_ports(Settings.from_environment(env))


def test_an_address_of_another_machine_is_refused(sockets: dict[str, socket.socket]) -> None:
    env = environment(sockets)
    for each in sockets.values():
        each.close()
    with pytest.raises(PortError, match=r"BIND_ADDRESS 192\.0\.2\.1 is no address of this machine"):
        check_ports(Settings.from_environment(env | {"BIND_ADDRESS": "192.0.2.1"}))
