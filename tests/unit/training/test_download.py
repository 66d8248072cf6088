"""Downloads against a real web server that does everything servers do wrong."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.unit.training.samples import (
    draft_csv,
    scryfall_json,
    simulated_cards,
    simulated_drafts,
)
from tests.unit.training.webserver import (
    Handler,
    Web,
    breaks_off,
    etag,
    refuses,
    web_server,
)
from training import transfer
from training.download import ROOT, bulk_address, main, user_agent
from training.scryfall import CardCatalog
from training.seventeenlands import read_drafts
from training.textfile import DataError
from training.transfer import Patience
from training.transfer_progress import Progress

FAST = Patience(
    attempts=4,
    first_wait=0.001,
    longest_wait=0.01,
    longest_asked=2.0,
    connect_timeout=2.0,
    read_timeout=0.3,
    pause=0.0,
)
DRAFTS = gzip.compress(draft_csv(simulated_drafts(60)))
OTHER = gzip.compress(draft_csv(simulated_drafts(50, seed=9)))
CARDS = scryfall_json(simulated_cards())
FDN = "/drafts/draft_data_public.FDN.PremierDraft.csv.gz"
HALF = len(DRAFTS) // 2


class Data(NamedTuple):
    """A folder for data and the server it comes from."""

    web: Web
    folder: Path

    def run(self, *arguments: str, sets: str = "FDN", patience: Patience = FAST) -> int:
        web = self.web.url
        folders = ["--drafts", str(self.folder / "17lands")]
        folders += ["--cards", str(self.folder / "cards" / "default-cards.json.gz")]
        sources = ["--drafts-from", f"{web}/drafts", "--cards-from", f"{web}/bulk"]
        return main(["--sets", *sets.split(), *folders, *sources, *arguments], patience)

    def drafts(self, name: str = FDN) -> Path:
        return self.folder / "17lands" / Path(name).name

    def hidden(self) -> set[str]:
        """Endings of the hidden files beside the draft file."""
        name = f".{Path(FDN).name}"
        folder = self.folder / "17lands"
        return {path.name.removeprefix(name) for path in folder.glob(f"{name}*")}

    def draft_requests(self, header: str) -> list[str | None]:
        return [
            request.headers.get(header.lower())
            for request in self.web.requests
            if request.path == FDN
        ]


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    with web_server() as web:
        yield web


@pytest.fixture
def data(server: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.faults.clear()
    server.requests.clear()
    server.files.clear()
    server.open_most = 0
    bulk = {"object": "bulk_data", "type": "default_cards", "download_uri": f"{server.url}/c.json"}
    server.files.update({FDN: DRAFTS, "/bulk": json.dumps(bulk).encode(), "/c.json": CARDS})
    return Data(server, tmp_path)


def test_drafts_and_cards_arrive_whole(data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    assert data.run() == 0
    assert data.drafts().read_bytes() == DRAFTS
    assert len(read_drafts(data.drafts()).draft_hash) == 60
    cards = data.folder / "cards" / "default-cards.json.gz"
    assert gzip.decompress(cards.read_bytes()) == CARDS
    assert len(CardCatalog.read(cards)) == 12
    record = json.loads(
        (data.folder / "17lands" / f".{data.drafts().name}.source.json").read_text()
    )
    assert record["sha256"] == hashlib.sha256(DRAFTS).hexdigest()
    assert record["url"] == f"{data.web.url}{FDN}"
    assert data.hidden() == {".source.json"}
    assert "downloaded" in capsys.readouterr().err


def test_the_files_are_where_training_looks(data: Data) -> None:
    """Names that a pattern for draft files finds are those of draft files."""
    data.web.faults = [refuses(500)]
    assert data.run() == 0
    found = list((data.folder / "17lands").glob("draft_data_public.*"))
    assert found == [data.drafts()]


def test_servers_are_told_who_asks(data: Data) -> None:
    data.run()
    assert set(data.web.asked("User-Agent")) == {user_agent()}
    assert user_agent().startswith("mtg-draft-recommender/")
    assert None not in data.web.asked("Accept")
    assert "application/json" in str(data.web.asked("Accept")[1])


def test_one_at_a_time_with_a_pause(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("training.download.time.sleep", slept.append)
    data.web.files[FDN.replace("FDN", "BLB")] = OTHER
    assert data.run(sets="FDN BLB FDN") == 0
    assert [request.path for request in data.web.requests].count(FDN) == 1
    assert data.web.open_most == 1
    assert len(slept) == 3, "between two draft files, the document and the cards"


def test_a_second_run_downloads_nothing(data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    data.run()
    before = data.drafts().stat().st_mtime_ns
    capsys.readouterr()
    assert data.run() == 0
    assert data.draft_requests("If-None-Match")[1] is not None
    assert data.drafts().stat().st_mtime_ns == before
    assert capsys.readouterr().err.count("already here") == 2


def test_a_newer_file_replaces_the_old_one(data: Data) -> None:
    data.run()
    data.web.files[FDN] = OTHER
    assert data.run() == 0
    assert data.drafts().read_bytes() == OTHER


@pytest.mark.parametrize("harm", ["cut", "changed", "gone"])
def test_a_file_harmed_since_is_downloaded_again(data: Data, harm: str) -> None:
    data.run()
    path = data.drafts()
    if harm == "cut":
        path.write_bytes(DRAFTS[:HALF])
    elif harm == "changed":
        path.write_bytes(DRAFTS[:-1] + b"\1")
    else:
        path.unlink()
    assert data.run() == 0
    assert path.read_bytes() == DRAFTS
    assert data.draft_requests("If-None-Match")[1] is None


def test_a_download_that_breaks_off_goes_on_where_it_stopped(data: Data) -> None:
    data.web.faults = [breaks_off(HALF), breaks_off(100)]
    assert data.run() == 0
    assert data.drafts().read_bytes() == DRAFTS
    assert data.draft_requests("Range") == [None, f"bytes={HALF}-", f"bytes={HALF + 100}-"]
    assert data.draft_requests("If-Range")[1] == data.draft_requests("If-Range")[2] is not None


def test_a_stalled_download_goes_on(data: Data) -> None:
    data.web.faults = [breaks_off(HALF, stall=0.6)]
    began = time.monotonic()
    assert data.run() == 0
    assert data.drafts().read_bytes() == DRAFTS
    assert data.draft_requests("Range") == [None, f"bytes={HALF}-"]
    assert time.monotonic() - began < 5


def test_the_next_run_goes_on_after_an_end(data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    data.web.faults = [breaks_off(HALF), *[breaks_off(0)] * 4]
    assert data.run() == 1
    assert "given up after 4 attempts" in capsys.readouterr().err
    assert not data.drafts().exists()
    assert data.hidden() == {".part", ".part.json"}
    assert data.run() == 0
    assert data.draft_requests("Range")[-1] == f"bytes={HALF}-"
    assert data.drafts().read_bytes() == DRAFTS
    assert data.hidden() == {".source.json"}


def test_progress_is_worth_new_attempts(data: Data) -> None:
    """A line that breaks ten times, but each time further, gets there."""
    step = len(DRAFTS) // 12
    data.web.faults = [breaks_off(step)] * 10
    assert data.run() == 0
    assert data.drafts().read_bytes() == DRAFTS


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_passing_faults_are_waited_out(data: Data, status: int) -> None:
    data.web.faults = [refuses(status)] * 3
    assert data.run() == 0
    assert data.drafts().read_bytes() == DRAFTS
    assert len(data.draft_requests("Range")) == 4


def test_a_server_that_stays_ill_is_left_alone(
    data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    data.web.faults = [refuses(500)] * 4
    assert data.run() == 1
    assert "given up after 4 attempts: the server answers 500" in capsys.readouterr().err
    assert len(data.draft_requests("Range")) == 4
    assert (data.folder / "cards" / "default-cards.json.gz").exists(), "the rest is downloaded"


@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_a_wait_that_is_asked_for_is_kept(data: Data, kind: str) -> None:
    # A date has whole seconds: one two seconds ahead is at least one second away.
    wait = "1" if kind == "seconds" else formatdate(time.time() + 2, usegmt=True)
    data.web.faults = [refuses(429, Retry_After=wait)]
    began = time.monotonic()
    assert data.run() == 0
    assert 0.9 < time.monotonic() - began < 4


def test_a_very_long_wait_is_told_instead(data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    data.web.faults = [refuses(503, Retry_After="3600")]
    assert data.run() == 1
    assert "it asks to wait 3600 s" in capsys.readouterr().err
    assert len(data.draft_requests("Range")) == 1


def test_waits_double_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(transfer.time, "sleep", waits.append)
    monkeypatch.setattr(transfer.random, "uniform", random.Random(1).uniform)
    patience = Patience(attempts=9, first_wait=1.0, longest_wait=20.0)
    with Progress("x", io.StringIO()) as progress:
        for failures in range(1, 9):
            transfer._wait("u", transfer.TryAgainError("ill"), failures, patience, progress)
    for wait, longest in zip(waits, [1, 2, 4, 8, 16, 20, 20, 20], strict=True):
        assert longest / 2 <= wait <= longest
    assert len(set(waits)) == len(waits)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_set_without_a_file_is_named_and_the_others_come(
    data: Data, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    if status != 404:
        data.web.faults = [refuses(status)]
    assert data.run("--events", "PremierDraft", "TradDraft", sets="xxx FDN") == 1
    told = capsys.readouterr().err
    assert "set XXX has no PremierDraft file" in told
    assert "set XXX has no TradDraft file" in told
    assert "set FDN has no TradDraft file" in told
    assert data.drafts().read_bytes() == DRAFTS
    assert "/drafts/draft_data_public.XXX.TradDraft.csv.gz: 404" in told


def test_another_file_midway_is_downloaded_from_its_start(data: Data) -> None:
    def changed(handler: Handler, content: bytes) -> bool:
        data.web.files[FDN] = OTHER
        return False

    data.web.faults = [breaks_off(HALF), changed]
    assert data.run() == 0
    # The range is tied to the old ETag, so the first answer after the change may still be the
    # old file's; the server here looked it up before the change.
    assert data.run() == 0
    assert data.drafts().read_bytes() == OTHER


def test_a_changed_etag_with_a_range_is_not_joined(data: Data) -> None:
    """A server that does not heed If-Range sends the end of another file."""

    def other_end(handler: Handler, content: bytes) -> bool:
        span = f"bytes {HALF}-{len(OTHER) - 1}/{len(OTHER)}"
        data.web.files[FDN] = OTHER
        handler.send(206, OTHER[HALF:], ETag='"other"', Content_Range=span)
        return True

    data.web.faults = [breaks_off(HALF), other_end]
    assert data.run() == 0
    assert data.drafts().read_bytes() == OTHER


def test_halves_of_different_files_are_found_without_an_etag(
    data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same ETag for different content: only the check of the whole can tell."""
    joined = DRAFTS[:HALF] + bytes(len(DRAFTS) - HALF)

    def wrong_end(handler: Handler, content: bytes) -> bool:
        handler.answer(joined, mark='"same"')
        return True

    data.web.faults = [breaks_off(HALF, mark='"same"'), wrong_end]
    assert data.run() == 0
    assert data.drafts().read_bytes() == DRAFTS
    assert "once more from the start" in capsys.readouterr().err


def test_a_server_without_ranges_starts_again(data: Data) -> None:
    def whole(handler: Handler, content: bytes) -> bool:
        handler.send(200, content)
        return True

    data.web.faults = [breaks_off(HALF), whole]
    assert data.run() == 0
    assert data.drafts().read_bytes() == DRAFTS


def test_without_etag_and_date_nothing_is_joined(data: Data) -> None:
    def half(handler: Handler, content: bytes) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:HALF])
        handler.close_connection = True
        return True

    data.web.faults = [half]
    assert data.run() == 0
    assert data.draft_requests("Range") == [None, None]
    assert data.drafts().read_bytes() == DRAFTS


@pytest.mark.parametrize("cut", [0, 40])
def test_bodies_of_unsaid_length(data: Data, cut: int) -> None:
    """Chunked, whole or broken off between two chunks; and a body that ends when the line does."""

    def chunked(handler: Handler, content: bytes) -> bool:
        handler.send_response(200)
        handler.send_header("ETag", etag(content))
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(content) - cut, 1000):
            piece = content[start : start + 1000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if cut and start >= 2000:
                handler.close_connection = True
                return True
        handler.wfile.write(b"0\r\n\r\n")
        return True

    data.web.faults = [chunked]
    assert data.run() == 0
    assert data.drafts().read_bytes() == DRAFTS
    assert data.draft_requests("Range") == ([None, "bytes=3000-"] if cut else [None])


def test_a_range_that_is_refused_starts_again(data: Data) -> None:
    data.web.faults = [breaks_off(HALF), refuses(416)]
    assert data.run() == 0
    assert data.draft_requests("Range") == [None, f"bytes={HALF}-", None]
    assert data.drafts().read_bytes() == DRAFTS


def test_a_date_does_where_there_is_no_etag(data: Data) -> None:
    date = formatdate(0, usegmt=True)

    def dated(handler: Handler, content: bytes) -> bool:
        if handler.headers.get("If-Modified-Since") == date:
            handler.send(304, None)
        else:
            handler.send(200, content, Last_Modified=date)
        return True

    data.web.faults = [dated]
    assert data.run() == 0
    data.web.faults = [dated]
    assert data.run() == 0
    assert data.draft_requests("If-Modified-Since") == [None, date]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>Sign in to the network</html>", "no gzip file, but starts with b'<html>"),
        (gzip.compress(b"<html></html>\n" * 99), "not 17Lands draft data"),
        (gzip.compress(draft_csv(simulated_drafts(1), without=["pick"])), "column 'pick'"),
        (DRAFTS[:HALF], "the gzip ends early"),
        (DRAFTS[:HALF] + bytes(9) + DRAFTS[HALF + 9 :], "the gzip is damaged"),
        (DRAFTS[:-8] + bytes(8), "the gzip is damaged"),
    ],
    ids=["a page", "a packed page", "no picks", "half", "damaged", "wrong checksum"],
)
def test_wrong_content_is_refused_and_not_kept(
    data: Data, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    assert data.run() == 0
    data.web.files[FDN] = content
    assert data.run() == 1
    assert message in capsys.readouterr().err
    assert data.drafts().read_bytes() == DRAFTS, "what was here is still here"
    assert data.hidden() == {".source.json"}


@pytest.mark.parametrize(
    "document", [b"", b"<html>", b"[]", b'{"object": "error", "status": 404}', b'{"data": 3}']
)
def test_a_document_that_is_none_is_told(
    data: Data, capsys: pytest.CaptureFixture[str], document: bytes
) -> None:
    data.web.files["/bulk"] = document
    assert data.run() == 1
    assert "not Scryfall's bulk-data document" in capsys.readouterr().err
    assert data.drafts().exists()


def test_the_document_is_asked_again_after_a_fault(data: Data) -> None:
    data.web.faults = [lambda handler, content: False, refuses(503), breaks_off(3)]
    assert data.run() == 0
    assert [request.path for request in data.web.requests].count("/bulk") == 3


def test_a_list_of_bulk_files_is_understood_and_others_refused() -> None:
    entry = {"type": "default_cards", "download_uri": "https://a/d.json"}
    listed = {"object": "list", "data": [{"type": "rulings", "download_uri": "x"}, entry]}
    assert bulk_address(json.dumps(listed).encode(), "https://api") == "https://a/d.json"
    for address in ("ftp://a/b", "/etc/passwd", "http://a/d.json"):
        with pytest.raises(DataError, match="download_uri"):
            bulk_address(json.dumps({**entry, "download_uri": address}).encode(), "https://api")


@pytest.mark.parametrize(
    "content", [b'{"object": "error"}', b"<html>", gzip.compress(b"[\n]\n"), b"[", CARDS[:-30]]
)
def test_cards_that_are_none_are_refused(data: Data, content: bytes) -> None:
    data.web.files["/c.json"] = content
    assert data.run("--cards-from", f"{data.web.url}/c.json") == 1
    assert not (data.folder / "cards" / "default-cards.json.gz").exists()


def test_cards_sent_plain_are_packed(data: Data) -> None:
    def plain(handler: Handler, content: bytes) -> bool:
        handler.send(200, content)
        return True

    data.web.faults = [lambda handler, content: False, plain]
    assert data.run("--cards-from", f"{data.web.url}/c.json") == 0
    packed = (data.folder / "cards" / "default-cards.json.gz").read_bytes()
    assert gzip.decompress(packed) == CARDS


def test_a_full_disk_is_seen_before_the_download(
    data: Data, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        transfer.shutil,
        "disk_usage",
        lambda path: shutil._ntuple_diskusage(9, 9, 1000),  # type: ignore[attr-defined]
    )
    assert data.run() == 1
    assert "0 MB free, 268 MB needed for draft_data_public.FDN" in capsys.readouterr().err
    assert data.hidden() == set()


def test_a_disk_that_fills_is_told_and_the_part_kept(
    data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, before[1]))
    try:
        assert data.run() == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "cannot be written: File too large" in capsys.readouterr().err
    assert not data.drafts().exists()
    assert data.run() == 0
    assert data.drafts().read_bytes() == DRAFTS


def test_a_crash_before_the_check_does_not_download_again(data: Data) -> None:
    """All bytes were here, the check was not done."""
    data.run()
    record = json.loads(
        (data.folder / "17lands" / f".{data.drafts().name}.source.json").read_text()
    )
    part = data.drafts().with_name(f".{data.drafts().name}.part")
    data.drafts().rename(part)
    part.with_name(f"{part.name}.json").write_text(json.dumps({**record, "total": len(DRAFTS)}))
    asked = len(data.draft_requests("Range"))
    assert data.run() == 0
    assert data.drafts().read_bytes() == DRAFTS
    assert len(data.draft_requests("Range")) == asked


def test_two_downloads_into_one_folder_do_not_mix(
    data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold(handler: Handler, content: bytes) -> bool:
        entered.set()
        leave.wait(5)
        return False

    data.web.faults = [hold, hold]
    codes: list[int] = []
    first = threading.Thread(target=lambda: codes.append(data.run()))
    first.start()
    assert entered.wait(5)
    assert data.run() == 1
    assert "another download into it is running" in capsys.readouterr().err
    leave.set()
    first.join()
    assert codes == [0]


def test_a_server_that_is_not_there_is_told(data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    assert data.run("--drafts-from", "http://127.0.0.1:9/drafts") == 1
    assert "given up after 4 attempts: no answer (" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sets"], 'no set: make data SETS="FDN BLB"'),
        (["--sets", "../etc"], "'../etc' is no set"),
        (["--sets", "FDN", "--events", "a/b"], "'a/b' is no event"),
        (["--sets", "FDN", "--drafts-from", "ftp://a"], "a source is https://host/path"),
        (["--sets", "FDN", "--drafts-from", "s3://"], "or s3://bucket/prefix"),
    ],
)
def test_mistakes_in_the_options(
    data: Data, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    folders = ["--drafts", str(data.folder / "d"), "--cards", str(data.folder / "c.json.gz")]
    cards = ["--cards-from", f"{data.web.url}/c.json"]
    assert main([*folders, *cards, *arguments], FAST) == 1
    assert message in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_told(
    data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    (data.folder / "file").write_text("")
    assert data.run("--drafts", str(data.folder / "file" / "17lands")) == 1
    assert "Not a directory" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(
    data: Data, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    half_is_there, over = threading.Event(), threading.Event()
    advance, arrived = Progress.advance, 0

    def watch(progress: Progress, count: int) -> None:
        nonlocal arrived
        advance(progress, count)
        arrived += count
        if arrived >= HALF:
            half_is_there.set()

    def press() -> None:
        if half_is_there.wait(30):
            # Python misses a signal between its last look and the system call, which begins now.
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Progress, "advance", watch)
    data.web.faults = [breaks_off(HALF, until=over)]
    thread = threading.Thread(target=press)
    thread.start()
    try:
        assert data.run(patience=replace(FAST, read_timeout=30.0)) == 130
    finally:
        over.set()
        thread.join()
    assert "goes on where it stopped" in capsys.readouterr().err
    assert data.run() == 0
    assert data.draft_requests("Range")[-1] == f"bytes={HALF}-"


def test_sources_of_the_environment(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAFTS_URL", f"{data.web.url}/drafts/")
    monkeypatch.setenv("CARDS_URL", f"{data.web.url}/c.json")
    folders = ["--drafts", str(data.folder / "d"), "--cards", str(data.folder / "c.json.gz")]
    assert main(["--sets", "FDN", *folders], FAST) == 0
    assert (data.folder / "d" / Path(FDN).name).read_bytes() == DRAFTS


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.transfer_progress.LINE_SECONDS", 0.0)
    shown: dict[bool, str] = {}
    for terminal in (True, False):
        stream: Any = Terminal() if terminal else io.StringIO()
        with Progress("drafts", stream) as progress:
            progress.start(0, 4_000_000)
            progress.advance(1_000_000)
            progress.start(1_000_000, 4_000_000)
            progress.advance(3_000_000)
        shown[terminal] = stream.getvalue()
    assert "\r" in shown[True]
    assert "100%" in shown[True]
    assert shown[False].splitlines() == ["drafts: 1.0 of 4.0 MB", "drafts: 4.0 of 4.0 MB"]


def test_the_default_folders_are_those_of_training() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "--drafts $(DATA) --cards $(CARDS)" in makefile
