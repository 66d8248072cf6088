"""README, model card and figures say what the result files say, and those are of these weights."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from model.checkpoint import load_checkpoint
from training import model_card, plots, readme
from training.measure import Evaluator
from training.report import RESULTS, WEIGHTS, Group, Report
from training.resultfile import rounded
from training.scryfall import CardCatalog
from training.tables import by_pick, recipe_differences, summary_table
from training.textfile import DataError

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT.parent / "shared" / "data"
HUMAN = DATA / "human" / "draft_data_public.DKA.MTGO.csv.gz"
CARDS = DATA / "cards" / "default-cards.json.gz"
REMEDY = "the released results are not made anew: `make results DATA=folder`"


@pytest.fixture(scope="module")
def report() -> Report:
    return Report.read()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Copies of the released weights' description and results, to be spoilt."""
    shutil.copytree(RESULTS, tmp_path / "results")
    (tmp_path / "weights").mkdir()
    shutil.copyfile(WEIGHTS / "meta.json", tmp_path / "weights" / "meta.json")
    return tmp_path


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values))


def run(module: Any, own: Path, *more: str) -> int:
    options = ["--weights", str(own / "weights"), "--results", str(own / "results"), *more]
    return int(module.main(options))


def assert_same(one: Any, other: Any) -> None:
    """Equal; the last decimal may differ, which another processor may round otherwise."""
    if isinstance(one, float) and isinstance(other, float):
        assert one == pytest.approx(other, abs=1.1e-6), REMEDY
        return
    assert type(one) is type(other), REMEDY
    if isinstance(one, dict):
        assert list(one) == list(other), REMEDY
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list):
        assert len(one) == len(other), REMEDY
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
        return
    assert one == other, REMEDY


def drawing(path: Path) -> list[str | float]:
    """An SVG's text and numbers, without the identifiers that are hashed from its numbers."""
    text = re.sub(r'(id="|#)[a-z][0-9a-f]{10}', r"\1", path.read_text(encoding="utf-8"))
    words = re.split(r"(-?\d+\.?\d*(?:e-?\d+)?)", text)
    return [float(word) if index % 2 else word for index, word in enumerate(words)]


def test_the_card_is_that_of_the_weights(report: Report) -> None:
    card = (WEIGHTS / model_card.CARD).read_text(encoding="utf-8")
    meta = json.loads((WEIGHTS / "meta.json").read_text(encoding="utf-8"))
    assert f"`{meta['weights_sha256']}`" in card, REMEDY
    assert card == model_card.card(report), REMEDY


def test_the_readme_shows_the_result_files(report: Report) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.insert(text, "accuracy", readme.accuracy(report)) == text, REMEDY


@pytest.fixture(scope="module")
def drawings(report: Report, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return plots.draw(report.groups(), tmp_path_factory.mktemp("drawings"))


def test_the_figures_are_drawn_from_the_result_files(drawings: list[Path]) -> None:
    for path in drawings:
        drawn, stored = drawing(path), drawing(RESULTS / path.name)
        assert drawn[::2] == stored[::2], REMEDY
        assert drawn[1::2] == pytest.approx(stored[1::2], abs=1e-2), REMEDY


def test_the_card_names_what_it_must(report: Report) -> None:
    card = model_card.card(report)
    for words in (
        "CC BY 4.0",
        "17Lands",
        "statistical-drafting",
        "Fan Content Policy",
        "XMage",
        "Out of scope",
        "simulated",
        report.meta["data"]["sha256"],
        *report.meta["sets"],
    ):
        assert words in card, words
    links = re.findall(r"\]\((?!https?://|#)([^)]+)\)", card)
    assert len(links) == 3
    assert all((WEIGHTS / link).exists() for link in links)


@pytest.mark.parametrize("module", [model_card, readme, plots])
def test_results_of_other_weights_are_refused(
    own: Path, capsys: pytest.CaptureFixture[str], module: Any
) -> None:
    change(own / "weights" / "meta.json", weights_sha256="0" * 64)
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    assert run(module, own) == 1
    error = capsys.readouterr().err
    assert "was measured with weights" in error
    assert "make results" in error
    assert {path: path.read_bytes() for path in own.rglob("*") if path.is_file()} == before


def test_missing_results_are_told(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "results" / "known.json").unlink()
    assert run(model_card, own) == 1
    assert "known.json: cannot be read" in capsys.readouterr().err


def held_out(own: Path, **changes: Any) -> None:
    """A result of weights that were trained without the set they are measured on."""
    result = json.loads((own / "results" / "human.json").read_text(encoding="utf-8"))
    result["files"] = [file for file in result["files"] if not file["known_set"]][:3]
    result["mean"] = {"unseen": result["mean"]["unseen"] | {"top1_unforced": 0.54321}}
    result["model"] |= {"weights_sha256": "f" * 64} | changes
    (own / "results" / "unseen.json").write_text(json.dumps(result))


def test_whole_held_out_sets_get_their_row(own: Path) -> None:
    held_out(own)
    report = Report.read(own / "weights", own / "results")
    titles = [group.title for group in report.groups()]
    assert "simulated, whole sets held out" in titles
    assert "**0.543**" in summary_table(report.groups())
    sets = ", ".join(file["set"] for file in report.unseen["files"])
    for document in (model_card.card(report), readme.accuracy(report)):
        assert f"*Whole sets held out*: {sets}" in document
        assert "`ffffffffffff…`" in document


def test_the_note_says_how_the_recipe_of_the_held_out_run_differs(own: Path) -> None:
    recipe = json.loads((own / "weights" / "meta.json").read_text())["data"]["recipe"]
    held_out(own, recipe=recipe | {"steps": 7, "hold_out": ["A"]})
    card = model_card.card(Report.read(own / "weights", own / "results"))
    assert "the released recipe but for steps on" in card
    assert recipe_differences(recipe, None) is None
    assert recipe_differences(recipe, recipe) == []


def test_a_set_that_was_trained_on_is_not_held_out(own: Path) -> None:
    shutil.copyfile(own / "results" / "known.json", own / "results" / "unseen.json")
    with pytest.raises(DataError, match="so the set was not held out"):
        Report.read(own / "weights", own / "results")


def test_figures_by_pick_are_means_over_files() -> None:
    def file(*entries: tuple[int, int, int, float, float]) -> dict[str, Any]:
        names = ("pack", "pick", "picks", "pack_size", "top1")
        return {"by_pack_and_pick": [dict(zip(names, entry, strict=True)) for entry in entries]}

    files = [file((1, 1, 10, 3, 0.5), (2, 1, 30, 3, 0.9)), file((1, 1, 5, 2, 0.2))]
    assert by_pick(files, "top1", pick=1, pack=1) == pytest.approx(0.35)
    assert by_pick(files, "top1", pick=1) == pytest.approx((0.8 + 0.2) / 2)
    forced = [file((1, 2, 10, 1, 1.0))]
    assert by_pick(forced, "top1", pick=2) is None
    assert by_pick([*files, *forced], "top1", pick=1, pack=2) is None, "one file of three has it"


def test_the_pick_axis_is_as_long_as_the_packs() -> None:
    """Pick-two drafts have 28 picks a pack."""
    names = ("random", "highest_rarity", "most_picked", "top1")
    entries = [
        {"pack": 1, "pick": n, "picks": 9, "pack_size": 29 - n, **dict.fromkeys(names, n / 28)}
        for n in range(1, 29)
    ]
    figure = plots.accuracy([Group("sets", ({"by_pack_and_pick": entries},), {})])
    (panel,) = figure.axes
    assert panel.get_xlim() == (0.5, 27.5), "the last pick is forced"
    assert panel.lines[0].get_xdata()[-1] == 27


def test_figures_are_svg_without_a_date(drawings: list[Path]) -> None:
    assert [path.name for path in drawings] == ["accuracy.svg", "reliability.svg", "sets.svg"]
    for path in drawings:
        content = path.read_text(encoding="utf-8")
        assert ElementTree.fromstring(content).tag.endswith("svg")
        assert "date" not in content.lower()


def test_a_document_without_the_marks_is_left_alone(own: Path) -> None:
    document = own / "README.md"
    document.write_text("nothing")
    with pytest.raises(ValueError, match="0 parts marked accuracy"):
        readme.insert("nothing", "accuracy", "table")
    assert run(readme, own, "--readme", str(document)) == 1
    assert document.read_text() == "nothing"


@pytest.mark.skipif(
    not HUMAN.exists() or not CARDS.exists(),
    reason="the real drafts and card data are not beside this repository (../shared/data)",
)
def test_the_released_weights_still_give_the_stored_figures(report: Report) -> None:
    evaluator = Evaluator(load_checkpoint(WEIGHTS), CardCatalog.read(CARDS))
    measured = rounded(evaluator.measure(HUMAN).figures)
    (stored,) = [file for file in report.human["files"] if file["file"] == HUMAN.name]
    assert_same(measured, stored)
