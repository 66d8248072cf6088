"""`make data SETS="FDN BLB"`: 17Lands' draft files and Scryfall's cards, downloaded politely.

One file at a time, with a pause between; a download that broke off goes on where it stopped; what
is here already is asked for with its ETag, and not sent again while it is the same. Both sources
can be mirrors: an address of the web or `s3://bucket/prefix`.

* 17Lands: <https://www.17lands.com/public_datasets>, CC BY 4.0.
* Scryfall: <https://scryfall.com/docs/api>, which asks for a User-Agent and an Accept header; the
  bulk-data document says where today's file is.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from training.draft_columns import Columns
from training.http_source import HttpSource, new_session
from training.s3_source import S3Source
from training.scryfall import read_printings
from training.textfile import GZIP_MAGIC, DataError, open_bytes
from training.transfer import Content, NotThereError, Patience, Source, TryAgainError, fetch
from training.transfer_progress import Progress

DRAFTS_URL = "https://17lands-public.s3.amazonaws.com/analysis_data/draft_data"
CARDS_URL = "https://api.scryfall.com/bulk-data/default-cards"
EVENTS = ("PremierDraft",)
"""What is downloaded of a set unless told otherwise: by far the most drafts."""
CARDS_FILE = "default-cards.json.gz"
ROOT = Path(__file__).resolve().parent.parent


def user_agent() -> str:
    """The project's name and version, as Scryfall asks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['name']}/{project['version']}"


def _sniff_drafts(start: bytes) -> None:
    if not start.startswith(GZIP_MAGIC):
        raise DataError(f"this is no gzip file, but starts with {start[:40]!r}")


def _verify_drafts(path: Path) -> None:
    """To the gzip's last byte, where its checksum and length are."""
    with open_bytes(path) as stream:
        Columns.parse(stream.readline(), path)
        while stream.read(1 << 20):
            pass


def _sniff_cards(start: bytes) -> None:
    if not start.startswith(GZIP_MAGIC) and not start.lstrip().startswith(b"["):
        raise DataError(f"this is no card file, but starts with {start[:40]!r}")


def _verify_cards(path: Path) -> None:
    if not any([printing.name for printing in read_printings(path)]):
        raise DataError(f"{path}: no card")


DRAFTS = Content(_sniff_drafts, _verify_drafts)
CARDS = Content(_sniff_cards, _verify_cards)


class Downloader:
    """Brings files from their sources, one after the other."""

    def __init__(self, drafts_from: str, cards_from: str, patience: Patience) -> None:
        for address in (drafts_from, cards_from):
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https", "s3") or not parts.netloc:
                raise DataError(f"{address}: a source is https://host/path or s3://bucket/prefix")
        self.drafts_from = drafts_from.rstrip("/")
        self.cards_from = cards_from.rstrip("/")
        self.patience = patience
        self._session = new_session(user_agent())
        self._asked = False

    def drafts(self, set_code: str, event: str, folder: Path) -> None:
        """The draft file of a set and an event. Raises NotThereError when there is none."""
        name = f"draft_data_public.{set_code}.{event}.csv.gz"
        source = self._source(f"{self.drafts_from}/{quote(name)}", "identity")
        self._fetch(source, folder / name, DRAFTS)

    def cards(self, target: Path) -> None:
        """Scryfall's default cards, gzipped."""
        self._pause()
        self._fetch(self._source(self._cards_address(), "gzip"), target, CARDS)

    def _cards_address(self) -> str:
        """Where the file is: the source itself, or what its bulk-data document names."""
        if self.cards_from.endswith((".json", ".json.gz")):
            return self.cards_from
        if self.cards_from.startswith("s3://"):
            return f"{self.cards_from}/{CARDS_FILE}"
        source = HttpSource(self.cards_from, self._session, self.patience)
        for attempt in range(1, self.patience.attempts + 1):
            try:
                return bulk_address(source.read_document(), self.cards_from)
            except TryAgainError as error:
                failure = error
                if error.wait > self.patience.longest_asked:
                    break
                if attempt < self.patience.attempts:
                    time.sleep(max(error.wait, self.patience.first_wait * 2 ** (attempt - 1)))
        raise DataError(f"{self.cards_from}: given up: {failure}")

    def _source(self, url: str, encoding: str) -> Source:
        if url.startswith("s3://"):
            return S3Source(url, self.patience)
        return HttpSource(url, self._session, self.patience, encoding)

    def _fetch(self, source: Source, target: Path, content: Content) -> None:
        self._pause()
        with Progress(target.name) as progress:
            fresh = fetch(source, target, content, self.patience, progress)
            size = target.stat().st_size / 1e6
            progress.note(f"{size:.1f} MB, {'downloaded' if fresh else 'already here'}: {target}")

    def _pause(self) -> None:
        if self._asked:
            time.sleep(self.patience.pause)
        self._asked = True


def bulk_address(document: bytes, source: str) -> str:
    """`download_uri` of Scryfall's bulk-data object, or of the default cards in a list of them.

    Raises DataError when the document is something else.
    """
    try:
        value: Any = json.loads(document)
        entries = value["data"] if value.get("object") == "list" else [value]
        (address,) = [e["download_uri"] for e in entries if e["type"] == "default_cards"]
        parts = urlsplit(address)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{source}: not Scryfall's bulk-data document of default cards") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise DataError(f"{source}: download_uri is {address!r}")
    if urlsplit(source).scheme == "https" and parts.scheme != "https":
        raise DataError(f"{source}: download_uri {address} is not https")
    return str(address)


def download(
    downloader: Downloader, sets: Sequence[str], events: Sequence[str], folder: Path, cards: Path
) -> list[str]:
    """Everything asked for; the sets' faults, after the others have been downloaded."""
    faults = []
    with _only_one(folder):
        for code in sets:
            for event in events:
                try:
                    downloader.drafts(code, event, folder)
                except NotThereError as error:
                    faults.append(
                        f"set {code} has no {event} file ({error}). Sets as 17Lands writes them:"
                        ' FDN, Cube; other events: EVENTS="TradDraft QuickDraft PickTwoDraft"'
                    )
                except DataError as error:
                    faults.append(str(error))
        try:
            downloader.cards(cards)
        except DataError as error:
            faults.append(str(error))
    return faults


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Two downloads into one folder would write the same parts."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".download.lock").open("w")
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror or error}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"{folder}: another download into it is running") from None
        yield


def _name(kind: str, text: str) -> str:
    """A set code or an event, which become a part of a file's name."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{2,32}", text):
        raise DataError(f"{text!r} is no {kind}")
    return text.upper() if kind == "set" and text.islower() else text


def main(arguments: Sequence[str] | None = None, patience: Patience | None = None) -> int:
    options = _parse(arguments)
    try:
        if not options.sets:
            raise DataError('no set: make data SETS="FDN BLB"')
        sets = list(dict.fromkeys(_name("set", code) for code in options.sets))
        events = list(dict.fromkeys(_name("event", event) for event in options.events))
        downloader = Downloader(options.drafts_from, options.cards_from, patience or Patience())
        faults = download(downloader, sets, events, options.drafts, options.cards)
    except DataError as error:
        faults = [str(error)]
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.download", description=__doc__)
    parser.add_argument("--sets", nargs="*", default=[], help="set codes, as 17Lands writes them")
    parser.add_argument("--events", nargs="+", default=EVENTS, help="PremierDraft, TradDraft, …")
    parser.add_argument("--drafts", type=Path, default=Path("data/17lands"), help="folder for them")
    parser.add_argument("--cards", type=Path, default=Path("data/cards") / CARDS_FILE)
    parser.add_argument(
        "--drafts-from",
        default=os.environ.get("DRAFTS_URL") or DRAFTS_URL,
        help="https:// address or s3://bucket/prefix of the draft files (DRAFTS_URL)",
    )
    parser.add_argument(
        "--cards-from",
        default=os.environ.get("CARDS_URL") or CARDS_URL,
        help="Scryfall's bulk-data document, or the address of a .json or .json.gz file, or"
        " s3://bucket/prefix (CARDS_URL)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
