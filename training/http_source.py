"""A file on a web server, asked for as servers like to be asked.

urllib3's Retry repeats requests, but a body that breaks off or stalls is read after the request is
over; so repeating and resuming are `transfer`'s, and one request is one attempt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
import urllib3

from training.textfile import DataError
from training.transfer import (
    CHUNK,
    Answer,
    NotThereError,
    Part,
    Patience,
    TryAgainError,
    Version,
)

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be another one later."""
ABSENT = frozenset({403, 404, 410})
"""S3 answers 403 for a missing object to whoever may not list the bucket."""


def new_session(user_agent: str) -> requests.Session:
    """A session that says who it is."""
    session = requests.Session()
    session.headers.update({"User-Agent": user_agent, "Accept": "*/*"})
    return session


class HttpSource:
    """The file at `url`, stored as it is sent; `encoding` is the Accept-Encoding header."""

    def __init__(
        self, url: str, session: requests.Session, patience: Patience, encoding: str = "identity"
    ) -> None:
        self.url = url
        self._session = session
        self._timeout = (patience.connect_timeout, patience.read_timeout)
        self._encoding = encoding

    @contextmanager
    def open(self, part: Part | None, known: Version | None) -> Iterator[Answer | None]:
        headers = {"Accept-Encoding": self._encoding}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        elif known is not None:
            headers["If-Modified-Since"] = known.last_modified
        if part is not None:
            headers |= {"Range": f"bytes={part.size}-", "If-Range": part.version.resumable}
        with (
            _network_errors(self.url),
            self._session.get(
                self.url, headers=headers, stream=True, timeout=self._timeout
            ) as response,
        ):
            yield self._answer(response, part, known)

    def _answer(
        self, response: requests.Response, part: Part | None, known: Version | None
    ) -> Answer | None:
        status, headers = response.status_code, response.headers
        if status == 304 and known is not None:
            return None
        if status == 416 and part is not None:
            # The file is shorter now, so it is another one; `begin` drops the part.
            return Answer(Version(self.url), part.size, None, iter(()))
        if status in ABSENT:
            raise NotThereError(f"{self.url}: {status} {response.reason}")
        if status in PASSING:
            raise TryAgainError(
                f"the server answers {status} {response.reason}", retry_after(headers)
            )
        version = Version(self.url, headers.get("ETag", ""), headers.get("Last-Modified", ""))
        length = headers.get("Content-Length", "")
        size = int(length) if length.isdigit() else None
        offset, total = 0, size
        if status == 206 and part is not None:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
            if span is None:
                raise DataError(f"{self.url}: a part was sent without saying which")
            offset, total = int(span[1]), int(span[2])
        elif status != 200:
            raise DataError(f"{self.url}: the server answers {status} {response.reason}")
        return Answer(version, offset, total, _as_it_comes(response.raw))

    def read_document(self, limit: int = 1 << 20) -> bytes:
        """A small file, at once. Raises TryAgainError, NotThereError and DataError."""
        headers = {"Accept": "application/json;q=0.9,*/*;q=0.8"}
        with (
            _network_errors(self.url),
            self._session.get(
                self.url, headers=headers, stream=True, timeout=self._timeout
            ) as response,
        ):
            self._answer(response, None, None)
            body: bytes = response.raw.read(limit, decode_content=True)
        return body


def _as_it_comes(raw: urllib3.HTTPResponse) -> Iterator[bytes]:
    """The body as it is sent. `stream` would wait for whole chunks, and a stall would lose one."""
    while chunk := raw.read1(CHUNK, decode_content=False):
        yield chunk


def retry_after(headers: requests.structures.CaseInsensitiveDict[str]) -> float:
    """Seconds the server asks to wait, by number or by date; 0 when it does not say."""
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    try:
        yield
    except (requests.exceptions.SSLError, requests.exceptions.InvalidProxyURL) as error:
        raise DataError(f"{url}: {error}") from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise TryAgainError(f"no answer ({_root(error)})") from None
    except (urllib3.exceptions.HTTPError, requests.exceptions.ChunkedEncodingError) as error:
        raise TryAgainError(f"it broke off ({_root(error)})") from None
    except requests.RequestException as error:
        raise DataError(f"{url}: {error}") from None


def _root(error: BaseException) -> str:
    """The innermost cause in a line; the outer ones repeat it in many."""
    causes = [getattr(error, "reason", None), *error.args]
    reason = next((cause for cause in causes if isinstance(cause, BaseException)), None)
    if reason is not None:
        return _root(reason)
    return str(error).split(": ")[-1] or type(error).__name__
