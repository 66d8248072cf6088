"""TorchServe's messages to and from a worker, in few steps.

TorchServe 0.12.0 reads a message field by field, with a `recv` of its own for each length and each
value, 350 for a batch of 16 requests, and writes one by appending as many pieces. Together that was
a fifth of what a worker spends on a batch. Here the fields are cut out of a buffer that one `recv`
fills with all that has arrived, straight into what the handler is given, and the pieces of an
answer that are the same for all are made once.

Only the steps are fewer: what a message is made of is as in `ts.protocol.otf_message_handler`, and
what the handler is given as in `ts.service`, to which the tests compare this. A connection's unread
bytes stay in the buffer, so it does not matter whether the front end waits for the answer before it
sends again (it does).
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

from ts import service
from ts.context import RequestProcessor
from ts.protocol import otf_message_handler

_FIRST_SIZE = 1 << 18
_END_OF_LIST = -1
_int = Struct("!i")
_length, _packed = _int.unpack_from, _int.pack

logger = logging.getLogger(__name__)


class Batch(NamedTuple):
    """An inference message, as `Service.retrieve_data_for_inference` hands it on.

    `headers` of each request, its `inputs` by the names of its parts, and its id by its place.
    """

    headers: list[RequestProcessor]
    inputs: list[dict[str, bytearray]]
    ids: dict[int, str]


class BufferedConnection:
    """The messages that arrive at a socket.

    A closed connection ends the process, as it does in TorchServe: the front end is gone, or wants
    this worker to go.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = bytearray(_FIRST_SIZE)
        self._start = self._end = 0

    def take(self, size: int) -> bytearray:
        """The next `size` bytes."""
        if self._end - self._start < size:
            self._receive(size)
        start, self._start = self._start, self._start + size
        return self._buffer[start : self._start]

    def batch(self) -> Batch:
        """The requests of an inference message whose command has been taken."""
        field, value = self._field, self._value
        batch = Batch([], [], {})
        while (request_id := field()) is not None:
            sent: dict[str, str] = {}
            inputs: dict[str, bytearray] = {}
            headers: dict[str, Any] = {}
            while (name := field()) is not None:
                sent[name.decode()] = value().decode()
            while (name := field()) is not None:
                part = name.decode()
                headers[part] = {"content-type": value().decode()}
                inputs[part] = value()
            headers.update(sent)
            batch.ids[len(batch.inputs)] = request_id.decode()
            batch.headers.append(RequestProcessor(headers))
            batch.inputs.append(inputs)
        return batch

    def _field(self) -> bytearray | None:
        """The next field, a length and as many bytes, or None where a list ends instead."""
        if self._end - self._start < _int.size:
            self._receive(_int.size)
        start = self._start + _int.size
        (size,) = _length(self._buffer, self._start)
        self._start = start
        if size == _END_OF_LIST:
            return None
        if self._end - start < size:
            self._receive(size)
            start = self._start
        self._start = start + size
        return self._buffer[start : self._start]

    def _value(self) -> bytearray:
        """The next field, which is no end of a list."""
        value = self._field()
        if value is None:
            raise ValueError("TorchServe's message ends in the middle of a request")
        return value

    def _receive(self, size: int) -> None:
        """Wait until `size` bytes are in the buffer."""
        arrived = self._end - self._start
        if len(self._buffer) - self._start < size:
            # A review is larger than the buffer; the larger one is kept for the next.
            room = self._buffer if size <= len(self._buffer) else bytearray(2 * size)
            room[:arrived] = self._buffer[self._start : self._end]
            self._buffer, self._start, self._end = room, 0, arrived
        elif not arrived:
            self._start = self._end = 0
        with memoryview(self._buffer) as view:
            while arrived < size:
                count = self.connection.recv_into(view[self._end :])
                if not count:
                    logger.info("the front end closed the connection")
                    sys.exit(0)
                arrived += count
                self._end += count


def answer_message(
    replies: Sequence[bytes], ids: Mapping[int, str], message: str, code: int, context: Any
) -> bytes:
    """The replies to a batch as the front end reads them; status and headers are the context's."""
    parts = [_packed(code), _text(message)]
    for place, request_id in ids.items():
        request, reply = context.request_processor[place], replies[place]
        headers = request.get_response_headers()
        status, phrase = request.get_response_status_code(), request.get_response_status_phrase()
        content_type = headers.get("content-type")
        if content_type is not None and len(headers) == 1:
            head = _usual_head(content_type, status, phrase)
        else:
            head = _head(headers, status, phrase)
        parts += (_text(request_id), head, _packed(len(reply)), reply)
    parts.append(_packed(_END_OF_LIST))
    return b"".join(parts)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _packed(len(encoded)) + encoded


@lru_cache(maxsize=64)
def _usual_head(content_type: str, status: int, phrase: str | None) -> bytes:
    return _head({"content-type": content_type}, status, phrase)


def _head(headers: Mapping[str, str], status: int, phrase: str | None) -> bytes:
    return b"".join(
        (
            _text(headers.get("content-type", "")),
            _packed(status),
            _text(phrase or ""),
            otf_message_handler.encode_response_headers(headers),
        )
    )


def shorten_messages() -> bool:
    """Make TorchServe's worker, in this process, read and write as above from its next message on.

    Returns False, and changes nothing, where a setting asks for what only TorchServe's own way
    does: bodies that are decoded while they are read, or several processes for one worker.
    """
    if os.environ.get("TS_DECODE_INPUT_REQUEST") != "false" or "LOCAL_RANK" in os.environ:
        return False
    buffered: BufferedConnection | None = None

    def reader(connection: socket.socket) -> BufferedConnection:
        nonlocal buffered
        if buffered is None or buffered.connection is not connection:
            buffered = BufferedConnection(connection)
        return buffered

    otf_message_handler._retrieve_buffer = lambda connection, size: reader(connection).take(size)
    otf_message_handler._retrieve_inference_msg = lambda connection: reader(connection).batch()
    service.Service.retrieve_data_for_inference = staticmethod(lambda batch: batch)
    service.create_predict_response = _answering(otf_message_handler.create_predict_response)
    return True


def _answering(torchserves: Callable[..., Any]) -> Callable[..., Any]:
    """`create_predict_response`, in TorchServe's own way for whatever is not replies in bytes."""

    def create(
        replies: Any,
        ids: Mapping[int, str],
        message: str,
        code: int,
        context: Any = None,
        ts_stream_next: bool = False,
    ) -> Any:
        usual = context is not None and not ts_stream_next and not context.stopping_criteria
        if usual and all(reply.__class__ is bytes for reply in replies or (None,)):
            return answer_message(replies, ids, message, code, context)
        return torchserves(replies, ids, message, code, context, ts_stream_next)

    return create
