"""Rules text: differences of print vanish, differences of meaning stay, any text is harmless."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.text import TEXT_SCALE, normal_form, stable_bucket, text_vector, tokens_of

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        (
            "When Llanowar Seer enters, scry 1.",
            "When this creature enters, scry 1.",
            "Llanowar Seer",
        ),
        ("When Seer enters the battlefield, scry 1.", "When Seer enters, scry 1.", "Seer"),
        ("{tap}: Add {G}.", "{T}: Add {g}.", ""),
        ("Draw two cards.", "Draw 2 cards.", ""),
        ("Flying (Only flyers block it.)", "Flying", ""),
        ("Flying <i>(Only (some) flyers block it.)</i>", "Flying", ""),
        ("Jace's loyalty", "{this}'s loyalty", "Jace, Mirror Mage"),
        ("This creature's power", "Seer's power", "Seer"),
        ("Pay {W/B}.", "Pay {WB}.", ""),
        ("Raid — draw", "Raid -- draw", ""),
        ("It doesn’t untap", "It doesn't untap", ""),
        ("converted mana cost 3", "mana value 3", ""),
        ("+1: Scry 1.\n−2: Draw", "+1: Scry 1.\n-2: Draw", ""),
    ],
)
def test_differences_of_print_vanish(one: str, other: str, name: str) -> None:
    assert normal_form(one, name) == normal_form(other, name)


def test_the_own_name_is_replaced_as_whole_words_only() -> None:
    assert normal_form("Ow hits the Owner of Ow.", "Ow") == " ~ hits the owner of ~ . "


def test_every_face_has_its_own_name() -> None:
    text = "Fire deals 2 damage.\n//\nTap Ice."
    assert normal_form(text, "Fire // Ice") == " ~ deals 2 damage . | tap ~ . "


def test_numbers_symbols_and_breaks_are_tokens() -> None:
    assert tokens_of("{2}{W/U}, {T}: Put a +1/+1 counter; a 2/2 token.\nX is -X/-X") == [
        *("{2}", "{wu}", ",", "{t}", ":", "put", "a", "+1/+1", "counter", ","),
        *("a", "2/2", "token", ".", "|", "x", "is", "-x/-x"),
    ]


@pytest.mark.parametrize("text", ["", "   ", "(reminder only)"])
def test_no_text_is_no_vector(text: str) -> None:
    assert normal_form(text) == ""
    assert not text_vector(normal_form(text), 64).any()


def test_words_and_pairs_are_both_counted_and_sentences_part_pairs() -> None:
    bins = 4096
    ab, ba = (text_vector(normal_form(text), bins) for text in ("draw card", "card draw"))
    np.testing.assert_array_equal(ab[: bins // 2], ba[: bins // 2])
    assert (ab[bins // 2 :] != ba[bins // 2 :]).any()
    parted = text_vector(normal_form("draw. card"), bins)
    np.testing.assert_array_equal(parted[: bins // 2], ab[: bins // 2])
    assert not parted[bins // 2 :].any()


def test_each_half_has_the_same_length_whatever_the_text() -> None:
    for text in ("Draw a card.", "Draw a card. " * 50):
        vector = text_vector(normal_form(text), 256)
        assert np.linalg.norm(vector[:128]) == pytest.approx(TEXT_SCALE)
        assert np.linalg.norm(vector[128:]) == pytest.approx(TEXT_SCALE)


def test_repeated_words_are_damped() -> None:
    vector = text_vector(normal_form("forest " * 100 + "island"), 4096)[:2048]
    few, many = np.sort(vector[vector > 0])
    assert many / few == pytest.approx(np.log1p(100) / np.log1p(1))


@settings(deadline=None)
@given(st.text(max_size=300), st.text(min_size=1, max_size=30), st.integers(2, 300))
def test_any_text_gives_a_finite_bounded_vector(text: str, name: str, bins: int) -> None:
    vector = text_vector(normal_form(text, name), bins)
    assert vector.shape == (bins,)
    assert np.isfinite(vector).all()
    assert ((vector >= 0) & (vector <= TEXT_SCALE + 1e-9)).all()


@settings(deadline=None)
@given(st.text(max_size=200))
def test_the_normal_form_is_single_spaced_and_framed(text: str) -> None:
    normal = normal_form(text)
    assert normal == "" or normal == f" {' '.join(normal.split(' ')[1:-1])} "
    assert "  " not in normal


def test_buckets_are_the_same_in_every_process() -> None:
    code = "from model.text import stable_bucket; print(stable_bucket('zorbify', 1009))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert seen == {str(stable_bucket("zorbify", 1009))}
