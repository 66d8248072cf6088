"""Checking the ports before Java starts: its own message is a stack trace after seconds."""

from __future__ import annotations

import errno
import socket

from infrastructure.errors import PortError
from infrastructure.settings import LOOPBACK, Settings


def check_ports(settings: Settings) -> None:
    """Raise `PortError` when one of the server's ports cannot be opened."""
    for variable, port in settings.ports.by_variable().items():
        address = settings.bind_address if variable == "PORT" else LOOPBACK
        check_port(address, port, variable)


def check_port(address: str, port: int, variable: str) -> None:
    """Raise `PortError`, naming `variable`, when `port` cannot be opened on `address`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Java sets this too: connections of the last server in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            raise PortError(_explain(error, address, port, variable)) from None


def _explain(error: OSError, address: str, port: int, variable: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} ({variable}) is taken on {address}: "
            f"stop the program that listens there, or set {variable} to a free port"
        )
    if error.errno == errno.EACCES:
        return f"no permission to open port {port} ({variable}): set {variable} to one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"BIND_ADDRESS {address} is no address of this machine: set it to 127.0.0.1, "
            "or to 0.0.0.0 for all of them"
        )
    return f"cannot open port {port} ({variable}) on {address}: {error.strerror}"
