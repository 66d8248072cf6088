"""What a step learns from: some sets, some picks of each, as tensors on the device.

All processes draw the same rows from the same generators, and each takes its share of them; so
several processes see together what one would see alone, and where a run stands is a few numbers.

Legend: B picks of this process, C pack slots, X cards of the sets drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.cards import PACK_MAX
from training.corpus import TrainingSet
from training.sparse import SparseFeatures
from training.textfile import DataError

Rows = npt.NDArray[np.int64]


class RowSampler:
    """Endless batches of some rows: each row once before any row comes again.

    The order of a pass follows from the seed and the pass's number alone.
    """

    def __init__(self, rows: Rows, seed: Sequence[int]) -> None:
        if not len(rows):
            raise DataError("a set has no unforced pick to train on")
        self._rows = rows
        self._seed = tuple(seed)
        self.position = (0, 0)

    @property
    def position(self) -> tuple[int, int]:
        """Passes finished, and rows drawn of the current one."""
        return self._pass, self._drawn

    @position.setter
    def position(self, value: tuple[int, int]) -> None:
        self._pass, self._drawn = value
        self._order = self._shuffled()

    def draw(self, count: int) -> Rows:
        parts = []
        while count > 0:
            part = self._order[self._drawn : self._drawn + count]
            parts.append(part)
            count -= len(part)
            self._drawn += len(part)
            if self._drawn == len(self._order):
                self.position = (self._pass + 1, 0)
        return np.concatenate(parts)

    def _shuffled(self) -> Rows:
        return np.random.default_rng([*self._seed, self._pass]).permutation(self._rows)


class Sampler:
    """Draws `sets_per_step` sets (all, if there are fewer), and `picks_per_set` rows of each."""

    def __init__(
        self, rows: Sequence[Rows], sets_per_step: int, picks_per_set: int, seed: int
    ) -> None:
        self._samplers = [RowSampler(each, (seed, index)) for index, each in enumerate(rows)]
        self._generator = np.random.default_rng(seed)
        self._sets = min(sets_per_step, len(rows))
        self._picks = picks_per_set

    @property
    def picks_per_step(self) -> int:
        return self._sets * self._picks

    def draw(self) -> list[tuple[int, Rows]]:
        """Numbers of the sets drawn, with rows of each."""
        chosen = self._generator.choice(len(self._samplers), self._sets, replace=False)
        return [(int(index), self._samplers[index].draw(self._picks)) for index in chosen]

    def state(self) -> dict[str, Any]:
        """Where the sampler stands, as JSON."""
        return {
            "generator": self._generator.bit_generator.state,
            "positions": [list(each.position) for each in self._samplers],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._generator.bit_generator.state = state["generator"]
        for sampler, (passes, drawn) in zip(self._samplers, state["positions"], strict=True):
            sampler.position = (int(passes), int(drawn))


@dataclass(frozen=True, slots=True)
class StepBatch:
    """This process's share of a step. The sets' cards stand one set after another."""

    sets: tuple[int, ...]
    """Numbers of the sets drawn."""
    set_sizes: tuple[int, ...]
    """Cards of each; their sum is X."""
    cards: SparseFeatures
    """Of all X cards."""
    pack_cards_BC: Tensor
    """int64 from 0 to X - 1; 0 in empty slots."""
    pack_mask_BC: Tensor
    taken_BC: Tensor
    """True in the slots that hold the card taken."""
    pool_size_B: Tensor
    pool_counts: tuple[Tensor, ...]
    """For each set (picks of it, cards of it): copies of each card in the pool."""
    win_share_B: Tensor
    """Share of the event's wins; NaN where unknown, or where the set's results do not vary."""
    picks: int
    """Of the whole step, over all processes."""

    @classmethod
    def collate(
        cls,
        sets: Sequence[TrainingSet],
        drawn: Sequence[tuple[int, Rows]],
        device: torch.device | None = None,
        rank: int = 0,
        processes: int = 1,
    ) -> StepBatch:
        """Every `processes`-th row of what was drawn, from row `rank` on."""
        chosen = [sets[index] for index, _ in drawn]
        parts = [
            each.dataset.batch(rows[rank::processes])
            for each, (_, rows) in zip(chosen, drawn, strict=True)
        ]
        sizes = [len(each.dataset.cards) for each in chosen]
        starts = np.cumsum([0, *sizes[:-1]])
        shares = [
            part.win_share_B if each.learns_value else np.full_like(part.win_share_B, np.nan)
            for each, part in zip(chosen, parts, strict=True)
        ]

        def joined(arrays: Sequence[npt.NDArray[Any]]) -> Tensor:
            return torch.from_numpy(np.concatenate(arrays)).to(device)

        return cls(
            sets=tuple(index for index, _ in drawn),
            set_sizes=tuple(sizes),
            cards=SparseFeatures.join([each.cards for each in chosen]).to(device),
            pack_cards_BC=joined(
                [
                    _widen(part.pack_cards_BC + start)
                    for part, start in zip(parts, starts, strict=True)
                ]
            ),
            pack_mask_BC=joined([_widen(part.pack_mask_BC) for part in parts]),
            taken_BC=joined([_widen(part.taken_BC) for part in parts]),
            pool_size_B=joined([part.pool_size_B for part in parts]),
            pool_counts=tuple(torch.from_numpy(part.pool_counts_BX).to(device) for part in parts),
            win_share_B=joined(shares),
            picks=sum(len(rows) for _, rows in drawn),
        )


def _widen(slots_BC: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """To the widest pack, so that batches of several sets fit together; new slots are 0."""
    return np.pad(slots_BC, ((0, 0), (0, PACK_MAX - slots_BC.shape[1])))
