"""`PickTwoDraft`: two cards are taken from each pack, `pick` and `pick_2`.

A row becomes two picks, as a client would ask for them: `pick` from the pack with the pool, then
`pick_2` from the pack without `pick`, with `pick` in the pool. Cross-entropy on both is the
likelihood of an ordered choice (Plackett and Luce); the order within a pair says nothing, so a
model can at best be right about half of the first ones. Pick numbers count cards taken: the row
with `pick_number` n holds the picks 2n and 2n + 1. A row without `pick_2`, the last card of an odd
pack, stays one pick.
"""

from __future__ import annotations

import numpy as np

from training.draft_rows import Bools, Counts, Ints


def expanded_rows(second_N: Ints) -> tuple[Ints, Bools]:
    """For each pick its row, and whether it is the row's second; `second_N` is -1 for none."""
    source_M = np.repeat(np.arange(len(second_N)), np.where(second_N >= 0, 2, 1))
    return source_M, np.diff(source_M, prepend=-1) == 0


def expand(
    pack: Counts, pool: Counts, pick_N: Ints, second_N: Ints, cards: int
) -> tuple[Counts, Counts, Ints]:
    """Packs, pools and picks of N rows as M picks."""
    source_M, is_second_M = expanded_rows(second_N)
    first_N = np.flatnonzero(~is_second_M)
    pair_N = np.flatnonzero(second_N >= 0)
    after_N = first_N[pair_N] + 1
    taken_N = pick_N[pair_N]

    def doubled(counts: Counts, change: int) -> Counts:
        held = np.isin(counts.row, pair_N)
        row = np.concatenate([first_N[counts.row], first_N[counts.row[held]] + 1, after_N])
        card = np.concatenate([counts.card, counts.card[held], taken_N])
        count = np.concatenate([counts.count, counts.count[held], np.full(len(after_N), change)])
        return Counts.of(row, card, count, cards)

    pick_M = np.where(is_second_M, second_N[source_M], pick_N[source_M])
    return doubled(pack, -1), doubled(pool, 1), pick_M
