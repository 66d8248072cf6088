"""Requests at the level of bytes: one that is half sent, and whether anybody listens."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


def connect(url: str) -> socket.socket:
    """A connection to the server at `url`."""
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    return socket.create_connection((address.hostname, address.port), 10)


def refuses(url: str) -> bool:
    """Whether no connection is accepted there."""
    try:
        connect(url).close()
    except ConnectionRefusedError:
        return True
    return False


class HalfSent:
    """A POST whose headers and half of whose body were sent."""

    def __init__(self, url: str, path: str, body: Mapping[str, Any]) -> None:
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: draft\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        )
        self._connection = connect(url)
        self._rest = content[len(content) // 2 :]
        self._connection.sendall(head.encode() + content[: len(content) // 2])

    def finish(self) -> tuple[int, bytes]:
        """Send the rest; status and body of the answer."""
        with self._connection as connection:
            connection.sendall(self._rest)
            connection.settimeout(30)
            received = b""
            while chunk := connection.recv(1 << 16):
                received += chunk
        head, _, body = received.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body
