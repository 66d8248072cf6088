import msgspec
import pytest

from model.cards import Card, PickRequest, as_card


def convert(**card):
    return msgspec.convert({"pack": [{"name": "A", **card}]}, PickRequest).pack[0]


def test_only_the_name_is_required():
    assert convert() == Card(name="A")
    assert as_card("A") == Card(name="A")
    assert as_card(Card(name="B")) == Card(name="B")


@pytest.mark.parametrize(
    "value",
    [0, 3, -1, 2.5, "3", "*", "1+*", "*+1", "7-*", "X", "-1", "+2", "*²", "?", "∞", "1.5", "2½"],
)
def test_printed_stats_are_accepted(value):
    assert convert(power=value, toughness=value, loyalty=value).power == value


@pytest.mark.parametrize(
    "value",
    ["", "two", "1 1", "{X}", "*" * 9, "1/1", 1000, -100, 10**30, float("nan"), True, [], {}],
)
def test_other_stats_are_refused(value):
    for field in ("power", "toughness", "loyalty"):
        with pytest.raises(msgspec.ValidationError, match=rf"\$\.pack\[0\]\.{field}"):
            convert(**{field: value})


@pytest.mark.parametrize(
    "cost",
    [
        "",
        "{0}",
        "{15}",
        "{2}{W}{U}",
        "{W/U}",
        "{2/W}",
        "{W/P}",
        "{G/U/P}",
        "{X}{X}{C}{S}",
        "{1}{R} // {2}{U}",
    ],
)
def test_mana_costs_are_accepted(cost):
    assert convert(mana_cost=cost).mana_cost == cost


@pytest.mark.parametrize(
    "cost", ["2RR", "{Q}", "{2", "2}", "{}", "{W/W/W}", "{-1}", "R // U", "{R}x"]
)
def test_malformed_mana_costs_are_refused(cost):
    with pytest.raises(msgspec.ValidationError, match=r"\$\.pack\[0\]\.mana_cost"):
        convert(mana_cost=cost)


@pytest.mark.parametrize(
    ("card", "where"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"oracle_text": "x" * 4001}, "oracle_text"),
        ({"keywords": ["x"] * 33}, "keywords"),
        ({"keywords": [""]}, r"keywords\[0\]"),
        ({"rarity": "Common"}, "rarity"),
        ({"set": ""}, "set"),
        ({"type": None}, "type"),
    ],
)
def test_limits_of_a_card(card, where):
    with pytest.raises(msgspec.ValidationError, match=rf"\$\.pack\[0\]\.{where}"):
        convert(**card)


def test_limits_are_inclusive():
    card = convert(name="x" * 200, oracle_text="x" * 4000, keywords=["k" * 100] * 32, power=999)
    assert len(card.keywords) == 32
    request = msgspec.convert({"pack": ["a"] * 15, "pool": ["b"] * 45}, PickRequest)
    assert (len(request.pack), len(request.pool)) == (15, 45)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "required field `pack`"),
        ({"pack": []}, r"length >= 1 - at `\$\.pack`"),
        ({"pack": ["a"] * 16}, r"length <= 15 - at `\$\.pack`"),
        ({"pack": ["a"], "pool": ["a"] * 46}, r"length <= 45 - at `\$\.pool`"),
        ({"pack": ["a"], "seen": []}, "unknown field `seen`"),
        ({"pack": [{"name": "a", "colour": "R"}]}, r"unknown field `colour` - at `\$\.pack\[0\]`"),
        ({"pack": ["a"], "pick_number": 16}, r"<= 15 - at `\$\.pick_number`"),
        ({"pack": ["a"], "pack_number": 0}, r">= 1 - at `\$\.pack_number`"),
        ({"pack": ["a"], "explain": "yes"}, r"bool.* - at `\$\.explain`"),
    ],
)
def test_limits_of_a_request(document, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(document, PickRequest)


def test_cards_can_be_keys():
    assert len({Card(name="a"), Card(name="a"), Card(name="a", keywords=("Flying",))}) == 2
