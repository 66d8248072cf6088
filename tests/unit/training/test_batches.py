"""Rows in passes, and where a sampler stands."""

from __future__ import annotations

import json

import numpy as np
import pytest

from training.batches import RowSampler, Sampler
from training.textfile import DataError


def test_rows_come_again_only_after_all_others() -> None:
    sampler = RowSampler(np.arange(10), (0, 0))
    drawn = np.concatenate([sampler.draw(4) for _ in range(5)])
    assert sorted(drawn[:10]) == list(range(10)) == sorted(drawn[10:])
    assert drawn[:10].tolist() != drawn[10:].tolist()


def test_more_rows_than_there_are_can_be_drawn() -> None:
    drawn = RowSampler(np.arange(3), (1, 0)).draw(8)
    assert np.bincount(drawn).max() == 3


def test_a_set_without_rows_is_refused() -> None:
    with pytest.raises(DataError, match="no unforced pick"):
        RowSampler(np.arange(0), (0, 0))


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_a_restored_sampler_goes_on_as_the_first_would(steps: int) -> None:
    rows = [np.arange(size) for size in (13, 40, 9)]
    first = Sampler(rows, sets_per_step=2, picks_per_set=5, seed=4)
    for _ in range(steps):
        first.draw()
    state = json.loads(json.dumps(first.state()))
    second = Sampler(rows, sets_per_step=2, picks_per_set=5, seed=4)
    second.restore(state)
    for _ in range(6):
        for (number, drawn), (expected, own) in zip(first.draw(), second.draw(), strict=True):
            assert number == expected
            assert drawn.tolist() == own.tolist()


def test_all_sets_are_drawn_when_there_are_few() -> None:
    sampler = Sampler([np.arange(9)] * 2, sets_per_step=4, picks_per_set=3, seed=1)
    assert sampler.picks_per_step == 6
    assert sorted(number for number, _ in sampler.draw()) == [0, 1]
