"""What a client sends and what it gets back: the card schema and its limits.

One request is one pick: the cards of the current pack and the cards already drafted. The
structs below *are* the contract: msgspec checks them while decoding, `config/openapi.yaml` is
held to the JSON Schema derived from them, and the load tests build their payloads with them.

A card is written either as an object or as a bare string, which stands for a card of that name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from model.mana import MANA_COST_PATTERN

PACK_MIN, PACK_MAX = 1, 15
POOL_MAX = 45
REVIEW_MAX = 45
NAME_MAX = 200
TYPE_MAX = 200
TEXT_MAX = 4000
KEYWORDS_MAX = 32
KEYWORD_MAX = 100
SET_MAX = 32
STAT_MIN, STAT_MAX = -99, 999
"""Power, toughness and loyalty as numbers; the largest printed value is 99."""

STAT_PATTERN = r"^[-+]?([0-9]+([.][0-9]+)?|[*XYZxyz?∞½])([-+*²½XYZxyz0-9.]*)$"
"""Power, toughness and loyalty as text: `2`, `*`, `1+*`, `7-*`, `*²`, `X`, `1.5`, `2½`, `∞`."""

CardName = Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
Rarity = Literal["common", "uncommon", "rare", "mythic", "special", "bonus", "basic"]
Stat = (
    Annotated[int, Meta(ge=STAT_MIN, le=STAT_MAX)]
    | Annotated[float, Meta(ge=STAT_MIN, le=STAT_MAX)]
    | Annotated[str, Meta(min_length=1, max_length=8, pattern=STAT_PATTERN)]
)
SetCode = Annotated[str, Meta(min_length=1, max_length=SET_MAX)]
PackNumber = Annotated[int, Meta(ge=1, le=4)]
PickNumber = Annotated[int, Meta(ge=1, le=15)]
PackSize = Meta(min_length=PACK_MIN, max_length=PACK_MAX)
PoolSize = Meta(max_length=POOL_MAX)
ReviewSize = Meta(min_length=1, max_length=REVIEW_MAX)


# gc=False: cards come by the hundred in a batch and can be in no cycle, so the garbage collector
# need not follow them.
class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A card's printed attributes. Only the name is required.

    `type` is the whole type line. Faces of split and two-faced cards are joined by ` // ` in
    `mana_cost` and by `\\n//\\n` in `oracle_text`.
    """

    name: CardName
    mana_cost: Annotated[str, Meta(max_length=100, pattern=MANA_COST_PATTERN)] = ""
    type: Annotated[str, Meta(max_length=TYPE_MAX)] = ""
    power: Stat | None = None
    toughness: Stat | None = None
    loyalty: Stat | None = None
    keywords: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=KEYWORD_MAX)], ...],
        Meta(max_length=KEYWORDS_MAX),
    ] = ()
    rarity: Rarity | None = None
    oracle_text: Annotated[str, Meta(max_length=TEXT_MAX)] = ""
    set: SetCode | None = None


class PickRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pick: 1–15 cards to choose from and the 0–45 cards already drafted.

    `set`, `pack_number` and `pick_number` never change the ranking; they are checked against
    what the model sees (the sets it was trained on, the size of the pool) and a mismatch is
    told as a warning. `explain` asks for each card's score split into its own strength and
    its fit with the pool.
    """

    pack: Annotated[list[Card | CardName], PackSize]
    pool: Annotated[list[Card | CardName], PoolSize] = []
    set: SetCode | None = None
    pack_number: PackNumber | None = None
    pick_number: PickNumber | None = None
    explain: bool = False


class RankedCard(msgspec.Struct, frozen=True, gc=False):
    """A card of the pack in the order of preference; `index` is its place in the request."""

    rank: int
    index: int
    name: str
    probability: float


class CardExplanation(msgspec.Struct, frozen=True):
    """Why a card stands where it stands, in logits relative to the pack's average.

    `strength` is the score with an empty pool, `synergy` what the pool adds to it; their sum
    orders the pack exactly as `ranking` does.
    """

    index: int
    name: str
    strength: float
    synergy: float


class PickWarning(msgspec.Struct, frozen=True):
    """Something the client should know about an answer that was given all the same."""

    code: str
    path: str
    message: str


class PickResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to one pick. `pick_probabilities[i]` belongs to `pack[i]`; they sum to 1."""

    recommended_pick: int
    pick_probabilities: list[float]
    confidence: float
    latency_ms: float
    ranking: list[RankedCard]
    warnings: list[PickWarning]
    model_version: str
    explanation: list[CardExplanation] | msgspec.UnsetType = msgspec.UNSET


class ReviewRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Many picks in one request, such as a whole draft. Each is checked on its own."""

    requests: Annotated[list[Any], ReviewSize]


def as_card(card: Card | str) -> Card:
    """The card a bare string stands for."""
    return Card(name=card) if isinstance(card, str) else card
