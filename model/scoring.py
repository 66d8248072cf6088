"""`DraftModel.score` as it is served: no padding, and nothing computed twice.

The cards of all packs lie behind one another, as do those of all pools, so that no arithmetic is
spent on empty slots. Constant factors are multiplied into the weights. What remains is few
operations: with 16 picks each costs 2 to 10 us, whatever it does. A property test holds the scores
to those of `DraftModel.score`.

Shape legend: B picks, N cards of all packs, M cards of all pools, D card width, H hidden, R rows of
the card index.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.cards import PACK_MAX, POOL_MAX
from model.collate import RowBatch
from model.network import PROGRESS_DIM, DraftModel

_SUM, _MEAN = 0, 1  # torch.embedding_bag's numbers for mode="sum" and "mean"


class PickScorer:
    """Scores picks given as rows of a card index, with the weights that a model has now."""

    def __init__(self, model: DraftModel) -> None:
        first, last, card_dim = model.context[0], model.affinity, model.config.encoder.card_dim
        assert isinstance(first, nn.Linear)
        # Weights are kept transposed: with 16 rows on the left, MKL is then 1.3 times as fast.
        self._first_weight = _first_weight(first, card_dim)
        self._first_bias = first.bias.detach()
        self._last_weight = (last.weight.detach() * card_dim**-0.5).t().contiguous()
        self._last_bias = last.bias.detach() * card_dim**-0.5
        self._sharpness = model.sharpness
        self._progress = _progress_by_size()

    @torch.inference_mode()
    def score(self, vectors_RD: Tensor, trained_R1: Tensor, batch: RowBatch) -> Tensor:
        """The logits of all packs' cards, (N,), one pack after the other.

        Args:
            vectors_RD: the index's encoded cards.
            trained_R1: 1.0 for those that the model was trained on, 0.0 for the others.
            batch: picks as rows of both.
        """
        inner_BH = torch.addmm(
            self._first_bias, self._inputs(vectors_RD, batch), self._first_weight
        )
        demand_BD = torch.addmm(self._last_bias, inner_BH.relu_(), self._last_weight)
        share_B1 = torch.embedding_bag(
            trained_R1, batch.pack_rows, batch.pack_starts, False, _MEAN
        )[0]
        demand_BD *= self._sharpness(share_B1)
        pack_ND = vectors_RD.index_select(0, batch.pack_rows)
        logits_N: Tensor = torch.linalg.vecdot(pack_ND, demand_BD.index_select(0, batch.pick_N))
        return logits_N

    def _inputs(self, vectors_RD: Tensor, batch: RowBatch) -> Tensor:
        """What the context layer sees of each pick, in the order of `_first_weight`'s rows."""
        picks = len(batch.pack_starts)
        # The packs are summed, too, and for nothing: leaving them out takes an operation more.
        sums = torch.embedding_bag(vectors_RD, batch.rows, batch.starts, False, _SUM)[0][picks:]
        progress = self._progress.index_select(0, batch.sizes)
        pack, pool = progress[:picks], progress[picks:]
        return torch.cat((sums, sums * pool[:, :1], pool, pack), 1)


def _progress_by_size() -> Tensor:
    """What a pool or a pack of 0 to 45 cards tells by its size.

    Columns: one over the size, for means; its share of the largest pool; whether it is 0; the
    share's root; its share of the largest pack.
    """
    size = torch.arange(POOL_MAX + 1.0)
    share = size / POOL_MAX
    empty = (size == 0).float()
    return torch.stack([1 / size.clamp(min=1), share, empty, share.sqrt(), size / PACK_MAX], 1)


def _first_weight(layer: nn.Linear, card_dim: int) -> Tensor:
    """The layer's weight with rows as in `_inputs`: of zeros for what the layer does not see."""
    weight = layer.weight.detach().t()
    scaled, progress = weight[:-PROGRESS_DIM].clone(), weight[-PROGRESS_DIM:]
    scaled[:card_dim] *= POOL_MAX**-0.5
    pool_share, pack_share, pool_empty, pool_root = progress
    nothing = torch.zeros_like(pool_share)
    pool = torch.stack([nothing, pool_share, pool_empty, pool_root, nothing])
    pack = torch.stack([nothing, nothing, nothing, nothing, pack_share])
    return torch.cat([scaled, pool, pack])
