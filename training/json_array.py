"""The objects of a JSON array of any size, one after the other, however the array is laid out.

Scryfall writes one object a line, which is tried first because it is quick to find: msgspec decodes
the line or says that it is none. Otherwise (indented, or all on one line) the object's end is
looked for among its quotes and braces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from training.textfile import DataError

CHUNK = 1 << 20
OBJECT_MAX = 16 << 20
"""Bytes of one object; Scryfall's largest has some 20 000."""
LINE_MAX = 1 << 16

_SPACE = re.compile(rb"[ \t\r\n]*")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|"|[{}]', re.DOTALL)
_Item = TypeVar("_Item")


def read_objects(
    stream: BinaryIO, decoder: msgspec.json.Decoder[_Item], path: Path
) -> Iterator[_Item]:
    """Every object, decoded. At most a few megabytes are held.

    Raises DataError, naming `path` and the object's number, where the file is no array, is cut off,
    goes on after its end, or holds something the decoder refuses.
    """
    text = _Window(stream)
    if text.peek() != b"[":
        raise DataError(f"{path}: it does not start with '['")
    text.take(1)
    number = 0
    while (mark := text.peek()) != b"]":
        if number and mark == b",":
            text.take(1)
            mark = text.peek()
        elif number and mark:
            raise DataError(f"{path}, object {number}: {mark!r} follows it, not ',' or ']'")
        if not mark:
            raise DataError(f"{path}: the array is not closed; the file is cut off")
        number += 1
        if mark != b"{":
            raise DataError(f"{path}, object {number}: it starts with {mark!r}, not '{{'")
        try:
            yield _decode_next(text, decoder)
        except EOFError:
            raise DataError(f"{path}, object {number}: the file is cut off in it") from None
        except (msgspec.DecodeError, ValueError) as error:
            raise DataError(f"{path}, object {number}: {error}") from None
    text.take(1)
    if text.peek():
        raise DataError(f"{path}: there is text after the closing ']'")


class _Window:
    """What has been read of a stream and not yet taken."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.held = b""
        self.start = 0

    def more(self) -> bool:
        """Reads on; false at the end of the stream."""
        chunk = self._stream.read(CHUNK)
        self.held = self.held[self.start :] + chunk
        self.start = 0
        return bool(chunk)

    def peek(self) -> bytes:
        """The next byte that is no white space; empty at the end."""
        while True:
            space = _SPACE.match(self.held, self.start)
            self.start = space.end() if space else self.start
            if self.start < len(self.held):
                return self.held[self.start : self.start + 1]
            if not self.more():
                return b""

    def take(self, count: int) -> bytes:
        taken = self.held[self.start : self.start + count]
        self.start += count
        return taken


def _decode_next(text: _Window, decoder: msgspec.json.Decoder[_Item]) -> _Item:
    """The object that starts here. Raises EOFError, ValueError and msgspec's errors."""
    end = text.held.find(b"\n", text.start, text.start + LINE_MAX)
    if end >= 0:
        line = text.held[text.start : end].rstrip(b" \t\r,")
        if line.endswith(b"}"):
            try:
                item = decoder.decode(line)
            except msgspec.DecodeError:
                pass  # two objects, or a brace in a text that goes on; damage is told below
            else:
                text.take(len(line))
                return item
    return decoder.decode(text.take(_object_size(text)))


def _object_size(text: _Window) -> int:
    """Bytes to the brace that closes the one here; reads on as far as needed."""
    depth, place = 0, 0
    while True:
        for token in _TOKEN.finditer(text.held, text.start + place):
            kind = token[0]
            if kind == b'"':
                break  # a text that goes on behind what has been read
            place = token.end() - text.start
            depth += (kind == b"{") - (kind == b"}")
            if not depth:
                return place
        if len(text.held) - text.start > OBJECT_MAX:
            raise ValueError(f"it is larger than {OBJECT_MAX >> 20} MiB")
        if not text.more():
            raise EOFError
