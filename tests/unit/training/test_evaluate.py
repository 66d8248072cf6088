"""Evaluation from files to a result file, and every way in which it must say no."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.cards import Card, PickRequest
from model.recommender import Recommender
from tests.unit.training.samples import (
    CARDS,
    Row,
    draft_csv,
    scryfall_json,
    scryfall_record,
    simulated_cards,
    simulated_drafts,
)
from training.dataset import Split, split_of
from training.evaluate import main
from training.scryfall import CardCatalog
from training.seventeenlands import hash_draft

Write = Callable[..., Path]

KNOWN = ("Llanowar Elves", "Shock")
"""In the card table of the test weights."""
UNHEARD = "Nobody's Card"
"""Neither there nor in the Scryfall file."""
NAMES = (*CARDS, *KNOWN, UNHEARD)


def drafts_of(number: int) -> list[Row]:
    """Drafts in which cards known by name, by attributes and not at all meet, copies too."""
    generator = np.random.default_rng(number)
    rows = []
    for draft in range(number):
        pool: list[str] = []
        for pick_number in range(6):
            pack = [str(card) for card in generator.choice(NAMES, 6 - pick_number)]
            pick = pack[int(generator.integers(len(pack)))]
            rows.append(
                Row(pack, pick, tuple(pool), f"draft-{draft}", pick_number=str(pick_number))
            )
            pool.append(pick)
    return rows


@pytest.fixture
def cards(write: Write) -> Path:
    records = [*simulated_cards(), *(scryfall_record(name, set="lea") for name in KNOWN)]
    # A printing of another set, whose rarity must not be the one that counts.
    records.append(scryfall_record(CARDS[0], set="xyz", rarity="mythic", released_at="2026-06-01"))
    return write("cards.json.gz", scryfall_json(records))


@pytest.fixture
def drafts(write: Write) -> Path:
    return write("draft_data_public.TST.PremierDraft.csv.gz", draft_csv(drafts_of(12), NAMES))


@pytest.fixture
def evaluate(cards: Path, weights: Path, tmp_path: Path) -> Callable[..., int]:
    """Runs the command line; `out.json` is the result."""

    def evaluate(*files: Path | str, plots: bool = False, **options: Any) -> int:
        options = {"weights": weights, "cards": cards, "out": tmp_path / "out.json"} | options
        words = [str(word) for name, value in options.items()
                 for word in ("--" + name.replace("_", "-"), value)]  # fmt: skip
        return main([*words, *([] if plots else ["--no-plots"]), *map(str, files)])

    return evaluate


def result_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_served_answer_and_the_evaluation_are_the_same(
    evaluate: Callable[..., int], drafts: Path, cards: Path, weights: Path, tmp_path: Path
) -> None:
    assert evaluate(drafts) == 0
    (figures,) = result_of(tmp_path / "out.json")["files"]

    recommender, catalog = Recommender.load(weights), CardCatalog.read(cards)

    def sent(name: str) -> Card | str:
        return name if name in KNOWN else catalog.find(name, ("tst",)) or Card(name=name)

    rows = [row for row in drafts_of(12) if len(row.pack) > 1]
    right, nll, first_three, confidence = [], [], [], []
    for row in rows:
        # The reader sorts packs by name, and that is the order in which ties are broken.
        pack = sorted(row.pack)
        request = PickRequest(pack=list(map(sent, pack)), pool=list(map(sent, row.pool)))
        answer = recommender.recommend([request])[0]
        shares = answer.pick_probabilities
        right.append(pack[answer.recommended_pick] == row.pick)
        nll.append(-math.log(sum(s for s, n in zip(shares, pack, strict=True) if n == row.pick)))
        order = list(dict.fromkeys(pack[ranked.index] for ranked in answer.ranking))
        first_three.append(row.pick in order[:3])
        best = pack[answer.recommended_pick]
        confidence.append(sum(s for s, n in zip(shares, pack, strict=True) if n == best))
    assert figures["unforced_picks"] == len(rows)
    assert figures["top1_unforced"] == pytest.approx(np.mean(right), abs=1e-6)
    assert figures["top3_unforced"] == pytest.approx(np.mean(first_three), abs=1e-6)
    assert figures["nll_unforced"] == pytest.approx(np.mean(nll), abs=2e-6)
    bins = figures["reliability"]
    mean = sum(each["picks"] * each["confidence"] for each in bins) / len(rows)
    assert mean == pytest.approx(np.mean(confidence), abs=2e-6)


def test_the_format_is_the_documented_one(
    evaluate: Callable[..., int], drafts: Path, tmp_path: Path
) -> None:
    assert evaluate(drafts) == 0
    result = result_of(tmp_path / "out.json")
    (figures,) = result["files"]
    counts = {
        "file": "draft_data_public.TST.PremierDraft.csv.gz",
        "set": "TST",
        "event_type": "PremierDraft",
        "split": "all",
        "known_set": False,
        "drafts": 12,
        "picks": 72,
        "unforced_picks": 60,
        "rows_dropped": {},
        "cards": len(NAMES),
        "cards_unknown_to_model": len(CARDS) + 1,
        "cards_without_attributes": 1,
        "cards_without_rarity": 1,
    }
    assert {name: figures[name] for name in counts} == counts
    low, high = figures["top1_unforced_ci95"]
    assert 0 <= low <= figures["top1_unforced"] <= high <= 1
    assert figures["top1_unforced"] < figures["top1_all"]
    assert figures["baselines"].keys() == {"random", "highest_rarity", "most_picked"}
    assert figures["baselines"]["random"] < figures["baselines_all"]["random"]
    by_pick = figures["by_pack_and_pick"]
    assert [(each["pack"], each["pick"]) for each in by_pick] == [(1, n) for n in range(1, 7)]
    assert all(each["picks"] == 12 for each in by_pick)
    unforced = [each for each in by_pick if each["pack_size"] > 1]
    for name, total in (("top1", figures["top1_unforced"]), ("nll", figures["nll_unforced"])):
        assert np.mean([each[name] for each in unforced]) == pytest.approx(total, abs=2e-6)
    assert sum(each["picks"] for each in figures["reliability"]) == 60
    assert result["mean"].keys() == {"all", "unseen"}
    assert result["mean"]["all"]["top1_unforced"] == figures["top1_unforced"]
    assert result["mean"]["all"]["top1_unforced_ci95"] == figures["top1_unforced_ci95"]
    assert result["model"]["version"] == "9.9.9"
    assert len(result["model"]["weights_sha256"]) == 64


def test_same_rows_same_bytes(
    evaluate: Callable[..., int], drafts: Path, write: Write, tmp_path: Path
) -> None:
    plain = write("again.csv", gzip.decompress(drafts.read_bytes()))
    for name in ("a.json", "b.json"):
        assert evaluate(drafts, plain, drafts, out=tmp_path / name, plots=True) == 0
    for suffix in ("json", "accuracy.svg", "reliability.svg", "sets.svg"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in "ab")
        assert first.read_bytes() == second.read_bytes(), suffix
    files = result_of(tmp_path / "a.json")["files"]
    assert [file["file"] for file in files] == [drafts.name, "again.csv", drafts.name]
    apart = {"file", "sha256"}
    gz, csv, twice = ({k: v for k, v in file.items() if k not in apart} for file in files)
    assert gz == csv == twice


def test_the_order_of_rows_says_nothing(
    evaluate: Callable[..., int], write: Write, tmp_path: Path
) -> None:
    rows = drafts_of(9)
    by_draft = sorted(rows, key=lambda row: row.draft_id, reverse=True)
    results = []
    for order in (rows, by_draft):
        assert evaluate(write("drafts.csv", draft_csv(order, NAMES))) == 0
        (figures,) = result_of(tmp_path / "out.json")["files"]
        results.append({k: v for k, v in figures.items() if k != "sha256"})
    assert results[0] == results[1]


def test_a_split_is_whole_drafts_and_a_folder_its_draft_files(
    evaluate: Callable[..., int], write: Write, tmp_path: Path
) -> None:
    rows = simulated_drafts(120)
    write("draft_data_public.TST.PremierDraft.csv", draft_csv(rows))
    hashes = np.array([hash_draft(f"draft-{n}") for n in range(120)], np.uint64)
    expected = int((split_of(hashes) == Split.TEST).sum())
    assert expected > 1
    assert evaluate(tmp_path, split="test") == 0
    (figures,) = result_of(tmp_path / "out.json")["files"]
    assert (figures["split"], figures["drafts"]) == ("test", expected)
    assert figures["picks"] == 12 * expected


def test_known_sets_and_ceilings(
    evaluate: Callable[..., int], write: Write, tmp_path: Path
) -> None:
    rows = [Row(r.pack, r.pick, r.pool, r.draft_id, cells={"expansion": "FDN"})
            for r in drafts_of(8)]  # fmt: skip
    known = write("fdn.csv", draft_csv(rows, NAMES))
    unseen = write("tst.csv", draft_csv(drafts_of(5), NAMES))
    limits = write(
        "limits.csv", b"set,drafts,limit_top1_all,limit_top1_unforced\nFDN,2000,0.9,0.8\n"
    )
    assert evaluate(known, unseen, limits=limits, plots=True) == 0
    result = result_of(tmp_path / "out.json")
    first, second = result["files"]
    assert first["known_set"]
    assert first["ceiling"] == {"top1_unforced": 0.8, "top1_all": 0.9}
    assert "ceiling" not in second
    mean = result["mean"]
    assert mean["known"]["share_of_ceiling"]["top1_unforced"] == pytest.approx(
        first["top1_unforced"] / 0.8, abs=2e-6
    )
    assert "share_of_ceiling" not in mean["all"]
    middle = (first["top1_unforced"] + second["top1_unforced"]) / 2
    assert mean["all"]["top1_unforced"] == pytest.approx(middle, abs=2e-6)
    low, high = mean["all"]["top1_unforced_ci95"]
    assert low < middle < high


def test_one_draft_alone_has_the_widest_interval(
    evaluate: Callable[..., int], write: Write, tmp_path: Path
) -> None:
    assert evaluate(write("one.csv", draft_csv(drafts_of(1), NAMES))) == 0
    assert result_of(tmp_path / "out.json")["files"][0]["top1_unforced_ci95"] == [0.0, 1.0]


def test_drafts_that_were_trained_on_are_pointed_out(
    evaluate: Callable[..., int],
    drafts: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = Path(shutil.copytree(weights, tmp_path / "weights"))
    meta = json.loads((own / "meta.json").read_text())
    digest = hashlib.sha256(drafts.read_bytes()).hexdigest()
    meta["data"] = {"files": [{"source_sha256": digest}]}
    (own / "meta.json").write_text(json.dumps(meta))
    assert evaluate(drafts, weights=own) == 0
    assert "were trained on drafts of this file" in capsys.readouterr().err


def test_the_files_of_held_out_sets_are_found(
    drafts: Path, weights: Path, tmp_path: Path, evaluate: Callable[..., int]
) -> None:
    other = Path(shutil.copy(drafts, drafts.with_name("draft_data_public.ABC.Trad.csv.gz")))
    own = Path(shutil.copytree(weights, tmp_path / "weights"))
    meta = json.loads((own / "meta.json").read_text())

    def measured(*hold_out: str) -> list[str] | None:
        meta["data"] = {"recipe": {"hold_out": hold_out}}
        (own / "meta.json").write_text(json.dumps(meta))
        out = tmp_path / "out.json"
        out.unlink(missing_ok=True)
        code = evaluate("--held-out", tmp_path, weights=own)
        assert out.exists() == (code == 0)
        return [file["file"] for file in result_of(out)["files"]] if code == 0 else None

    assert measured("ABC") == [other.name]
    assert measured("ABC", "TST") == [other.name, drafts.name]
    assert measured("FDN") is None
    assert measured() is None


def broken(kind: str, write: Write, drafts: Path) -> Sequence[Path]:
    content = drafts.read_bytes()
    files = {
        "missing": drafts.with_name("absent.csv.gz"),
        "not a draft file": write("games.csv", b"expansion,won\nTST,1\n"),
        "no text at all": write("noise.csv", bytes(range(256)) * 8),
    }
    if kind in files:
        return [files[kind]]
    if kind == "truncated":
        path = drafts.with_name("cut.csv.gz")
        path.write_bytes(content[: len(content) * 2 // 3])
        return [drafts, path]
    if kind == "no usable row":
        return [write("none.csv", draft_csv([Row([CARDS[0]], ""), Row([], CARDS[0])]))]
    assert kind == "forced picks only"
    return [write("forced.csv", draft_csv([Row([CARDS[0]], CARDS[0])] * 3))]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "absent.csv.gz: cannot be read: No such file"),
        ("not a draft file", "games.csv: not 17Lands draft data"),
        ("no text at all", "noise.csv: not 17Lands draft data"),
        ("truncated", "cut.csv.gz: the gzip ends early"),
        ("no usable row", "none.csv: no row can be used"),
        ("forced picks only", "forced.csv: no pick from more than one card"),
    ],
)
def test_drafts_that_cannot_be_used(
    evaluate: Callable[..., int],
    write: Write,
    drafts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    message: str,
) -> None:
    files = broken(kind, write, drafts)
    before = set(tmp_path.iterdir())
    assert evaluate(*files, plots=True) == 1
    assert_one_line(capsys, message)
    assert set(tmp_path.iterdir()) == before, "nothing half-written"


def assert_one_line(capsys: pytest.CaptureFixture[str], message: str) -> None:
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cards": "absent.json"}, "absent.json: cannot be read"),
        ({"weights": "absent"}, "absent"),
        ({"limits": "absent.csv"}, "absent.csv: cannot be read"),
    ],
)
def test_other_files_that_are_missing(
    evaluate: Callable[..., int],
    drafts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, str],
    message: str,
) -> None:
    assert evaluate(drafts, **options) == 1
    assert_one_line(capsys, message)
    assert not (tmp_path / "out.json").exists()


def test_a_result_that_is_there_survives_a_failure(
    evaluate: Callable[..., int], drafts: Path, tmp_path: Path
) -> None:
    (tmp_path / "out.json").write_text("yesterday's")
    assert evaluate(drafts, tmp_path / "absent.csv") == 1
    assert (tmp_path / "out.json").read_text() == "yesterday's"


def test_damaged_weights(
    evaluate: Callable[..., int],
    drafts: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = Path(shutil.copytree(weights, tmp_path / "weights"))
    content = (own / "model.safetensors").read_bytes()
    (own / "model.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert evaluate(drafts, weights=own) == 1
    assert_one_line(capsys, "sha256")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"set,limit_top1_all\nTST,0.5\n", "column 'limit_top1_unforced' is missing"),
        (b"set,limit_top1_all,limit_top1_unforced\nTST,0.5,high\n", "line 2: not a number"),
        (b"set,limit_top1_all,limit_top1_unforced\nTST,0.5,65\n", "line 2: a share must be in"),
        (b"set,limit_top1_all,limit_top1_unforced\n", "no rows"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_ceilings_that_cannot_be_used(
    evaluate: Callable[..., int],
    drafts: Path,
    write: Write,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    message: str,
) -> None:
    assert evaluate(drafts, limits=write("limits.csv", content)) == 1
    assert_one_line(capsys, message)


def test_out_is_tried_before_the_work(
    evaluate: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    for out, message in (
        (tmp_path, "it is no regular file"),
        (tmp_path / "file" / "out.json", "cannot be written"),
        (Path(os.devnull), "it is no regular file"),
    ):
        assert evaluate(tmp_path / "absent.csv", out=out) == 1
        assert_one_line(capsys, message)


def test_out_is_exactly_the_file_named(
    evaluate: Callable[..., int], drafts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new folder" / "figures"
    assert evaluate(drafts, out=out, plots=True) == 0
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "figures",
        "figures.accuracy.svg",
        "figures.reliability.svg",
        "figures.sets.svg",
    ]
    assert result_of(out)["files"]
