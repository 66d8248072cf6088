"""The requests of the load tests: whole drafts of real cards, in the schema the server checks.

A draft is three packs of fourteen cards. At every pick the drafter is handed a pack that is one
card smaller than the one before, takes a card and so grows the pool: packs of 14 down to 1 card,
pools of 0 up to 41. Drafts are built from the cards of `examples/`, every attribute written out,
and validated by the server's own structs, so that the load and the contract cannot drift apart.

Half of the drafts are of a *set the model has not met*: the same attributes under names which
are not in its card table. A server that leans on the table has to encode those cards.

    python -m loadtests.payloads            the distribution of sizes
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from model.cards import Card, PickRequest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PACKS = 3
PACK_SIZE = 14
DRAFTS = 6
SEED = 17
UNSEEN_SET = "NEW"


def catalogue(folder: Path = EXAMPLES) -> list[Card]:
    """Every card of the examples that carries attributes, once, ordered by name.

    Raises:
        FileNotFoundError: the folder holds no example.
        msgspec.ValidationError: an example breaks the request schema.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise FileNotFoundError(f"no example picks (*.json) in {folder}")
    cards: dict[str, Card] = {}
    for file in files:
        pick = msgspec.json.decode(file.read_bytes(), type=PickRequest)
        for card in [*pick.pack, *pick.pool]:
            if isinstance(card, Card):
                cards[card.name] = card
    return [cards[name] for name in sorted(cards)]


def unseen(card: Card) -> Card:
    """The card's attributes under a name, and in a set, that no card table holds."""
    return msgspec.structs.replace(card, name=f"Unseen {card.name}", set=UNSEEN_SET)


def draft(cards: Sequence[Card], rng: random.Random) -> list[PickRequest]:
    """The 42 picks of one seat. The pool may hold a card twice, as a real one does."""
    pool: list[Card | str] = []
    picks = []
    for pack_number in range(1, PACKS + 1):
        for pick_number in range(1, PACK_SIZE + 1):
            pack: list[Card | str] = [*rng.sample(cards, PACK_SIZE + 1 - pick_number)]
            picks.append(
                PickRequest(
                    pack=pack,
                    pool=list(pool),
                    pack_number=pack_number,
                    pick_number=pick_number,
                )
            )
            pool.append(rng.choice(pack))
    return picks


def draft_mix(drafts: int = DRAFTS, seed: int = SEED) -> list[PickRequest]:
    """The picks of several drafts, every second one of an unseen set, in random order.

    The order is random because a cycle through drafts from first to last pick would load the
    server with light and heavy requests in turns. The same seed gives the same requests.
    """
    rng = random.Random(seed)
    known = catalogue()
    new = [unseen(card) for card in known]
    picks = [pick for number in range(drafts) for pick in draft(new if number % 2 else known, rng)]
    rng.shuffle(picks)
    return picks


def is_unseen(pick: PickRequest) -> bool:
    """Whether none of the pack's cards can be known by name."""
    return all(isinstance(card, Card) and card.set == UNSEEN_SET for card in pick.pack)


def encode(pick: PickRequest) -> bytes:
    """The request body: compact JSON without absent fields, as an ordinary client writes it."""
    body = {
        "pack": [_attributes(card) for card in pick.pack],
        "pool": [_attributes(card) for card in pick.pool],
        "pack_number": pick.pack_number,
        "pick_number": pick.pick_number,
    }
    return msgspec.json.encode(body)


def _attributes(card: Card | str) -> dict[str, object] | str:
    if isinstance(card, str):
        return card
    attributes: dict[str, object] = msgspec.structs.asdict(card)
    return {name: value for name, value in attributes.items() if value not in (None, "", ())}


def size_distribution(bodies: Iterable[bytes]) -> dict[str, int]:
    """Number, smallest, quartiles, mean and largest of the bodies, in bytes."""
    sizes = sorted(len(body) for body in bodies)
    lower, median, upper = statistics.quantiles(sizes, n=4)
    return {
        "requests": len(sizes),
        "min": sizes[0],
        "p25": round(lower),
        "median": round(median),
        "mean": round(statistics.fmean(sizes)),
        "p75": round(upper),
        "max": sizes[-1],
    }


def main() -> None:
    sizes = size_distribution(map(encode, draft_mix()))
    print("  ".join(f"{name} {value}" for name, value in sizes.items()))


if __name__ == "__main__":
    main()
