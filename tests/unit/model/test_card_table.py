import pytest
import torch

from model.card_table import CardIndex, CardTable, fold_name
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


def test_known_cards_need_no_attributes_and_no_encoding(table):
    encode = Encoder()
    index = CardIndex(table, encode)
    rows = index.rows([["Fire", Card(name="Llanowar Elves", mana_cost="{G}")], []])
    assert rows == [[1, 3], []]
    assert encode.calls == []
    assert torch.equal(index.matrix[1], table.vectors[1])
    assert (index.matrix[index.padding_row] == 0).all()


def test_each_distinct_unknown_card_is_encoded_once(table):
    encode = Encoder()
    index = CardIndex(table, encode)
    new = Card(name="New", type="Creature")
    (first, second), (third,) = index.rows([[new, new], [Card(name="Newer")]])
    assert first == second != third
    assert encode.calls == [["New", "Newer"]]
    assert index.matrix[first, 0] == 3
    assert index.rows([[new]]) == [[first]]
    assert len(encode.calls) == 1
    assert index.take_unknown_count() == 4
    assert index.take_unknown_count() == 0


def test_a_bare_string_is_a_card_of_that_name(table):
    index = CardIndex(table, Encoder())
    assert index.rows([["New"]]) == index.rows([[Card(name="New")]])


def test_same_name_with_other_attributes_is_another_card(table):
    index = CardIndex(table, Encoder())
    first, second = index.rows([[Card(name="New"), Card(name="New", mana_cost="{R}")]])[0]
    assert first != second
    assert index.lacks_attributes(first)
    assert not index.lacks_attributes(second)


def test_the_cache_forgets_the_card_unused_for_longest(table):
    encode = Encoder()
    index = CardIndex(table, encode, cache_size=2)
    index.rows([["a1"]])
    index.rows([["b22"]])
    index.rows([["a1"]])
    (row,) = index.rows([[Card(name="c333", type="Land")]])[0]
    assert index.matrix[row, 0] == 4
    assert not index.lacks_attributes(row)
    index.rows([["a1"]])
    assert encode.calls == [["a1"], ["b22"], ["c333"]]
    index.rows([["b22"]])
    assert encode.calls[-1] == ["b22"]


def test_a_call_never_evicts_its_own_cards(table):
    index = CardIndex(table, Encoder(), cache_size=3)
    index.rows([["a", "bb", "ccc"]])
    rows = index.rows([["dddd", "a", "eeeee"]])[0]
    assert [index.matrix[row, 0].item() for row in rows] == [4, 1, 5]


def test_more_unknown_cards_than_the_cache_holds_are_refused(table):
    index = CardIndex(table, Encoder(), cache_size=2)
    index.rows([["a"]])
    with pytest.raises(ValueError, match="more than 2"):
        index.rows([["a", "bb", "ccc"]])
    row, other = index.rows([["bb", "a"]])[0]
    assert [index.matrix[row, 0], index.matrix[other, 0]] == [2, 1]


def test_a_failed_encoding_leaves_no_card_behind(table):
    encode = Encoder()

    def failing(cards):
        if not encode.calls:
            encode.calls.append([])
            raise RuntimeError("out of memory")
        return encode(cards)

    index = CardIndex(table, failing)
    with pytest.raises(RuntimeError):
        index.rows([["New"]])
    (row,) = index.rows([["New"]])[0]
    assert index.matrix[row, 0] == 3
