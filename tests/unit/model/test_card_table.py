import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from model.card_table import NO_ROW, CardIndex, CardTable, fold_name
from model.cards import Card

NAMES = ["Lim-Dûl's Vault", "Fire // Ice", "Æther Vial", "Llanowar Elves", "Bala Ged Recovery"]


@pytest.fixture
def table() -> CardTable:
    generator = torch.Generator().manual_seed(1)
    return CardTable(NAMES, torch.randn(len(NAMES), 8, generator=generator))


class Encoder:
    """Encodes a card as the length of its name, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, cards):
        self.calls.append([card.name for card in cards])
        return torch.stack([torch.full((8,), float(len(card.name))) for card in cards])


@pytest.mark.parametrize(
    ("written", "row"),
    [
        ("Lim-Dûl's Vault", 0),
        ("lim-dul's vault", 0),
        ("LIM-DU\u0302L’S  VAULT ", 0),
        ("Fire", 1),
        ("fire//ice", 1),
        ("Fire / Ice", 1),
        ("FIRE // ICE", 1),
        ("Aether Vial", 2),
        ("æther vial", 2),
        ("llanowar elves", 3),
        ("Bala Ged Recovery // Bala Ged Sanctuary", 4),
        ("Ice", None),
        ("Llanowar", None),
        ("", None),
        ("//", None),
        ("カード", None),
    ],
)
def test_names_match_with_case_accents_and_faces_folded(table, written, row):
    assert table.row(written) == row


def test_folding_is_idempotent():
    for name in [*NAMES, "Márton Stromgald", "_____", "+2 Mace", "Who/What/When/Where/Why"]:
        assert fold_name(fold_name(name)) == fold_name(name)
        assert fold_name(name)


def test_a_table_needs_a_vector_for_each_name():
    with pytest.raises(ValueError, match="2 names"):
        CardTable(["a", "b"], torch.zeros(3, 4))
    with pytest.raises(ValueError, match="row 1 has the empty name"):
        CardTable(["a", " "], torch.zeros(2, 4))


def test_eight_bits_are_exact_to_half_a_step(table):
    codes, scale = table.quantized()
    assert codes.dtype == torch.int8
    restored = CardTable.from_quantized(table.names, codes, scale)
    error = (restored.vectors - table.vectors).abs()
    assert (error <= scale.unsqueeze(1) * 0.5001).all()
    assert restored.names == table.names


def test_a_vector_of_zeros_survives_quantization():
    table = CardTable(["a"], torch.zeros(1, 4))
    assert (CardTable.from_quantized(table.names, *table.quantized()).vectors == 0).all()


def make_index(table, encode, cache_size=4096) -> CardIndex:
    return CardIndex(table, encode, cache_size)


def rows(index, *cards):
    return index.rows([index.look_up(card) for card in cards]).tolist()


def test_known_cards_need_no_attributes_and_no_encoding(table):
    encode = Encoder()
    index = make_index(table, encode)
    assert rows(index, "Fire", Card(name="Llanowar Elves", mana_cost="{G}")) == [1, 3]
    assert rows(index) == []
    assert encode.calls == []
    assert torch.equal(index.vectors[1], table.vectors[1])
    assert index.take_unknown_count() == 0


def test_a_card_keeps_the_spelling_of_the_client(table):
    index = make_index(table, Encoder())
    assert index.look_up("FIRE // ice").name == "FIRE // ice"
    assert index.look_up(Card(name="fire", rarity="common")).name == "fire"
    assert index.look_up("New").name == "New"


def test_each_distinct_unknown_card_is_encoded_once(table):
    encode = Encoder()
    index = make_index(table, encode)
    new = Card(name="New", type="Creature")
    first, second, third = rows(index, new, new, Card(name="Newer"))
    assert first == second != third
    assert encode.calls == [["New", "Newer"]]
    assert index.vectors[first, 0] == 3
    assert index.vectors[third, 0] == 5
    assert rows(index, new) == [first]
    assert len(encode.calls) == 1
    assert index.take_unknown_count() == 4
    assert index.take_unknown_count() == 0


def test_a_bare_string_is_a_card_of_that_name(table):
    index = make_index(table, Encoder())
    assert rows(index, "New") == rows(index, Card(name="New"))


def test_same_name_with_other_attributes_is_another_card(table):
    index = make_index(table, Encoder())
    found = rows(index, Card(name="New"), Card(name="New", mana_cost="{R}"), "Fire")
    assert found[0] != found[1]
    assert index.lacks_attributes(np.array(found)).tolist() == [True, False, False]


def test_the_cache_forgets_the_card_unused_for_longest(table):
    encode = Encoder()
    index = make_index(table, encode, cache_size=2)
    rows(index, "a1")
    rows(index, "b22")
    rows(index, "a1")
    (row,) = rows(index, Card(name="c333", type="Land"))
    assert index.vectors[row, 0] == 4
    assert not index.lacks_attributes(np.array([row])).any()
    rows(index, "a1")
    assert encode.calls == [["a1"], ["b22"], ["c333"]]
    rows(index, "b22")
    assert encode.calls[-1] == ["b22"]


def test_a_call_never_evicts_its_own_cards(table):
    index = make_index(table, Encoder(), cache_size=3)
    rows(index, "a", "bb", "ccc")
    found = rows(index, "dddd", "a", "eeeee")
    assert [index.vectors[row, 0].item() for row in found] == [4, 1, 5]


def test_a_card_held_by_somebody_is_encoded_again_after_its_eviction(table):
    """Whoever holds on to a card must not read the row of the card that came after it."""
    encode = Encoder()
    index = make_index(table, encode, cache_size=1)
    held = index.look_up("a")
    first = index.rows([held])
    rows(index, "bb")
    assert held.row == NO_ROW
    assert index.look_up("a") is held
    again = index.rows([held])
    assert (index.vectors[again, 0] == 1).all()
    assert first.tolist() == again.tolist() == [held.row]
    assert encode.calls == [["a"], ["bb"], ["a"]]


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=30), st.integers(4, 6))
def test_whatever_is_evicted_every_row_is_its_cards(calls, cache_size):
    """Cards of ten names, some held all the time and some looked up anew."""
    index = make_index(CardTable(NAMES[:1], torch.zeros(1, 8)), Encoder(), cache_size)
    held = [index.look_up("x" * length) for length in range(1, 11)]
    for number, lengths in enumerate(calls):
        cards = [
            held[n] if number % 2 else index.look_up(Card("x" * (n + 1), type="Land" * (n % 2)))
            for n in lengths
        ]
        found = index.rows(cards)
        assert index.vectors[found, 0].tolist() == [n + 1 for n in lengths]
        assert index.lacks_attributes(found).tolist() == [
            bool(number % 2) or n % 2 == 0 for n in lengths
        ]


def test_more_unknown_cards_than_the_cache_holds_are_refused(table):
    index = make_index(table, Encoder(), cache_size=2)
    rows(index, "a")
    with pytest.raises(ValueError, match="more than 2"):
        rows(index, "a", "bb", "ccc")
    row, other = rows(index, "bb", "a")
    assert [index.vectors[row, 0], index.vectors[other, 0]] == [2, 1]


def test_a_failed_encoding_leaves_no_card_behind(table):
    encode = Encoder()

    def failing(cards):
        if not encode.calls:
            encode.calls.append([])
            raise RuntimeError("out of memory")
        return encode(cards)

    index = make_index(table, failing)
    with pytest.raises(RuntimeError):
        rows(index, "New")
    (row,) = rows(index, "New")
    assert index.vectors[row, 0] == 3
