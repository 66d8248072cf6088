import json
from pathlib import Path

import pytest

from training.model_card import accuracy_table, insert, main

ROOT = Path(__file__).resolve().parents[3]


def test_the_readme_shows_the_result_files() -> None:
    meta = json.loads((ROOT / "model" / "weights" / "meta.json").read_text())
    human = json.loads((ROOT / "training" / "results" / "human.json").read_text())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert insert(readme, "accuracy", accuracy_table(meta, human)) == readme


def test_a_document_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("nothing")
    with pytest.raises(ValueError, match="0 parts marked accuracy"):
        insert("nothing", "accuracy", "table")
    assert main(["--readme", str(document)]) == 1
    assert document.read_text() == "nothing"
