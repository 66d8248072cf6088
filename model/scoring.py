"""`DraftModel.score` as it is served: no padding, and nothing computed twice.

A card's share of the hidden layer does not depend on the pick, so it is computed once a card and
looked up like the card's vector. The cards of all packs lie behind one another, as do those of all
pools, so that no arithmetic is spent on empty slots. Constant factors, and the product of the two
layers between the context and the affinity, are multiplied into the weights. What remains is few
operations: with 16 picks each costs 2 to 10 us, whatever it does. A property test holds the scores
to those of `DraftModel.score`.

Shape legend: B picks, N cards of all packs, M cards of all pools, C slots of the largest pack,
D card width, H hidden, R rows of the card index.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.cards import PACK_MAX, POOL_MAX
from model.collate import RowBatch
from model.network import PROGRESS_DIM, DraftModel

_SUM = 0  # torch.embedding_bag's number for mode="sum"


class PickScorer:
    """Scores picks given as rows of a card index, with the weights that a model has now."""

    def __init__(self, model: DraftModel) -> None:
        self._hidden_dim = model.config.hidden_dim
        self._card_dim = model.config.encoder.card_dim
        self._card_hidden = model.card_hidden
        self._card_score = model.card_score.weight.detach()[0]
        self._inverse_temperature = model.inverse_temperature
        first, last = model.context[0], model.context[-1]
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        # Weights are kept transposed: with 16 rows on the left, MKL is then 1.3 times as fast.
        self._first_weight = _first_weight(first, self._card_dim)
        self._first_bias = first.bias.detach()
        self._last_weight, self._last_bias = _last_layer(last, model.affinity)
        self._progress = _progress_by_size()

    @torch.inference_mode()
    def card_hidden(self, vectors_XD: Tensor) -> Tensor:
        """The part of the hidden layer that depends on the card alone: (X, D) -> (X, H)."""
        hidden_XH: Tensor = self._card_hidden(vectors_XD)
        return hidden_XH

    @torch.inference_mode()
    def score(self, vectors_RD: Tensor, hidden_RH: Tensor, batch: RowBatch) -> Tensor:
        """The logits of all packs' cards, (N,), one pack after the other.

        Args:
            vectors_RD: the index's encoded cards.
            hidden_RH: their `card_hidden`.
            batch: picks as rows of both.
        """
        pack_ND = vectors_RD.index_select(0, batch.pack_rows)
        inputs = self._inputs(vectors_RD, pack_ND, batch)
        inner_BH = nn.functional.gelu(torch.addmm(self._first_bias, inputs, self._first_weight))
        context = torch.addmm(self._last_bias, inner_BH, self._last_weight)
        context_NH, affinity_ND = context.index_select(0, batch.pick_N).split_with_sizes(
            (self._hidden_dim, self._card_dim), 1
        )
        hidden_NH = hidden_RH.index_select(0, batch.pack_rows).add_(context_NH)
        logits_N = nn.functional.gelu(hidden_NH).mv(self._card_score)
        logits_N += torch.linalg.vecdot(pack_ND, affinity_ND)
        return logits_N.mul_(self._inverse_temperature)

    def _inputs(self, vectors_RD: Tensor, pack_ND: Tensor, batch: RowBatch) -> Tensor:
        """What the context layers see of each pick, in the order of `_first_weight`'s rows."""
        picks = len(batch.slots_BC)
        # A slot without a card repeats one of the pack, which is no news to the maximum.
        pack_BCD = pack_ND.index_select(0, batch.slots_BC.view(-1)).view(picks, -1, self._card_dim)
        sums = torch.embedding_bag(vectors_RD, batch.rows, batch.starts, False, _SUM)[0]
        progress = self._progress.index_select(0, batch.sizes)
        means = sums * progress[:, :1]
        pack, pool = slice(picks), slice(picks, None)
        return torch.cat(
            (
                sums[pool],
                means[pool],
                means[pack],
                pack_BCD.amax(1),
                progress[pool],
                progress[pack],
            ),
            1,
        )


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


def _last_layer(context: nn.Linear, affinity: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias of one layer for the context and, scaled, the affinity made of it."""
    scale = affinity.out_features**-0.5
    weight, bias = context.weight.detach().double(), context.bias.detach().double()
    product = affinity.weight.detach().double() * scale
    offset = affinity.bias.detach().double() * scale
    weights = torch.cat([weight, product @ weight])
    biases = torch.cat([bias, product @ bias + offset])
    return weights.t().float().contiguous(), biases.float()
