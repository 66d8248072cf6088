"""The short way says what the long way says, however warm it is, or says nothing."""

import json
import tracemalloc

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import example, given, settings

from handler import stages
from handler.errors import DraftError
from handler.seen_cards import LONGEST_TEXT, Frame, SeenCards
from handler.stages import Body, decode, read, short_way, validate
from loadtests.payloads import draft_mix, encode
from model.card_table import IndexedCard
from model.cards import PickRequest
from model.recommender import Recommender

JSON = "application/json"


@pytest.fixture(scope="module")
def recommender(weights) -> Recommender:
    return Recommender.load(weights)


@pytest.fixture(scope="module")
def warm(recommender):
    """One for all examples of a test: what one taught it, the next one meets."""
    return short_way(recommender)


def plain(recommender, outcome):
    """A ticket or an error as something that can be compared."""
    if isinstance(outcome, DraftError):
        return type(outcome), outcome.detail, outcome.path
    picks = []
    for pick in outcome.picks:
        if isinstance(pick, DraftError):
            picks.append(plain(recommender, pick))
            continue
        if isinstance(pick, PickRequest):
            pick = recommender.look_up(pick)
        cards = [
            [(card.name, card.card or card.row) for card in hand] for hand in (pick.pack, pick.pool)
        ]
        picks.append((cards, pick.set, pick.pack_number, pick.pick_number, pick.explain))
    return outcome.is_review, picks


def check(recommender, way, body: bytes) -> None:
    (expected,) = validate(decode([Body(body, JSON)]))
    for content in (body, bytearray(body)):
        (found,) = read([Body(content, JSON)], way)
        assert plain(recommender, found) == plain(recommender, expected)


CARDS = [
    '"Shock"', '"fire // ICE"', '"Nobody Knows"', '{"name":"Shock"}', '{"name": "Shock"}',
    '{"name":"New","mana_cost":"{1}{G}","type":"Creature","power":2,"toughness":"*"}',
    '{ "name" : "New",\n"oracle_text":"say \\"x\\":y , [{}]" }', '"caf\u00e9"', '"caf\\u00e9"',
    '{"name":"a","keywords":["Flying"],"rarity":"rare","set":"FDN"}', '{"name":"n","power":1.0}',
    # Not cards:
    '{"name":"a","name":"b"}', '{"\\u006eame":"a","name":"b"}', '{"n\\u0061me":"a"}', '""', "7",
    '{"name":"a","cmc":1}', '{"name":"a","mana_cost":"2R"}', "null", "[]", "{}", '"\\ud800"',
    '{"name":"a","power":1e999}', '{"name":"a","power":NaN}', '{"name":7}', '"a\tb"', '["a"]',
]  # fmt: skip
GOOD = CARDS[:11]

spaces = st.sampled_from(["", "", "", " ", "\n", "\t ", "\r\n  "])
some_cards = st.one_of(
    st.lists(st.sampled_from(GOOD), max_size=5),
    st.lists(st.sampled_from(CARDS), max_size=3),
    st.lists(st.just('"Shock"'), min_size=14, max_size=47),
)


@st.composite
def array(draw, items):
    inside = draw(spaces) + "," + draw(spaces)
    return "[" + draw(spaces) + inside.join(draw(items)) + draw(spaces) + "]"


fields = st.one_of(
    st.tuples(st.sampled_from(["pack", "pool"]), array(some_cards)),
    st.tuples(
        st.sampled_from(["set", "pack_number", "pick_number", "explain", "pool", "more"]),
        st.sampled_from(['"FDN"', '"a b"', '"\\u0041"', '""', "1", "15", "1.0", "-0", "01", "null",
                         "true", "false", '"1"', "1e0", "9" * 400, "Infinity", "[]", "\u00e9"]),
    ),
)  # fmt: skip


@st.composite
def pick(draw):
    pairs = [
        ("pack", draw(array(st.lists(st.sampled_from(GOOD), min_size=1, max_size=6)))),
        *draw(st.lists(fields, max_size=3)),
    ]
    # Now and then a field twice, or with an escape in its name.
    if draw(st.integers(0, 3)) == 0:
        pairs.append(draw(st.sampled_from(pairs)))
    names = [
        name.replace("p", "\\u0070") if draw(st.integers(0, 15)) == 0 else name for name, _ in pairs
    ]
    colon, comma = draw(spaces) + ":" + draw(spaces), draw(spaces) + "," + draw(spaces)
    inside = comma.join(
        f'"{name}"{colon}{value}' for name, (_, value) in zip(names, pairs, strict=True)
    )
    return "{" + draw(spaces) + inside + draw(spaces) + "}"


@st.composite
def body(draw):
    text = draw(pick())
    if draw(st.booleans()):
        picks = draw(st.lists(pick(), max_size=3))
        text = '{"requests"' + draw(spaces) + ":[" + ",".join([text, *picks]) + "]}"
        if draw(st.integers(0, 7)) == 0:
            text = text[:-1] + ',"requests":[' + draw(pick()) + "]}"
    content = (draw(spaces) + text + draw(spaces)).encode()
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        start = draw(st.integers(0, len(content)))
        end = start + draw(st.integers(0, 3))
        content = content[:start] + draw(mutations) + content[end:]
    return content


mutations = st.one_of(
    st.binary(max_size=2),
    st.sampled_from([b"", b'"', b",", b"{", b"}", b"\\", b" ", b"\xff", b"\x00", b'"pack":[],']),
)


@given(body())
# Compact and spaced bodies whose second "explain" is as long as the white space in a set's name.
@example(b'{"pack":["Shock"],"set":"' + b" " * 16 + b'","explain":false,"explain":false}')
@example(b'{ "pack":["Shock"],"set":"' + b" " * 16 + b'","explain":false,"explain":false}')
@example(b'{"pack":["Fire"],"pack":["Shock"]}')
@example(b'{"pack":["Shock"],"p\\u0061ck":["Shock"]}')
@settings(max_examples=400)
def test_both_ways_agree(recommender, warm, content):
    check(recommender, warm, content)


@pytest.mark.parametrize(
    "text", [b'{"pack":["\xff"]}', b'{"pack":["a"]}\xff', b'{"pack":' + b"[" * 9999]
)
def test_both_ways_agree_on_bytes_that_are_no_text(recommender, warm, text):
    check(recommender, warm, text)


def test_the_frame_has_the_fields_of_a_request():
    assert Frame.__struct_fields__ == PickRequest.__struct_fields__


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n\t", " : ")])
def test_a_warm_way_decodes_no_card(recommender, monkeypatch, separators):
    """Whatever style a client writes in, also in a review."""
    way = short_way(recommender)
    picks = [json.loads(encode(each)) for each in draft_mix(drafts=2)[:20]]
    picks[3] |= {"set": "F D N", "explain": True, "pack_number": None}
    del picks[5]["pool"]
    review = {"requests": picks}
    bodies = [
        Body(json.dumps(each, separators=separators, ensure_ascii=False).encode(), JSON)
        for each in (*picks, review)
    ]
    expected = [plain(recommender, outcome) for outcome in validate(decode(bodies))]
    read(bodies, way)
    for function in ("_refuse_duplicate_keys", "_decode_body", "_validate_document"):
        monkeypatch.setattr(stages, function, lambda *_: pytest.fail("the long way was taken"))
    assert [plain(recommender, outcome) for outcome in read(bodies, way)] == expected


def test_bodies_of_both_ways_keep_their_places(recommender):
    way = short_way(recommender)
    bodies = [
        Body(content, kind)
        for content, kind in [
            (b'{"pack":["Shock"]}', JSON),
            (b'{"pack":[]}', JSON),
            (b'{"requests":[{"pack":["Fire"]},{"pack":["Shock","Fire"]}]}', JSON),
            (b'{"pack":["Shock"]}', "text/plain"),
            ({"pack": ["Fire"]}, JSON),
            (None, ""),
        ]
    ]
    expected = [plain(recommender, outcome) for outcome in validate(decode(bodies))]
    assert [plain(recommender, outcome) for outcome in read(bodies, way)] == expected


def counting(cards_read):
    def read_card(text: bytes) -> IndexedCard:
        cards_read.append(text)
        return IndexedCard(text.decode(), 0)

    return read_card


def test_texts_in_use_stay_and_others_are_forgotten():
    cards_read: list[bytes] = []
    cards = SeenCards(counting(cards_read), memory=20_000)
    for number in range(200):
        cards.find([b'"in use"', b'"%d"' % number])
    assert cards_read.count(b'"in use"') == 1
    cards.find([b'"0"'])
    assert cards_read.count(b'"0"') == 2
    assert [card.name for card in cards.find([b'"7"', b'"in use"', b'"7"'])] == [
        '"7"', '"in use"', '"7"'
    ]  # fmt: skip


def test_long_texts_are_not_kept():
    cards_read: list[bytes] = []
    cards = SeenCards(counting(cards_read))
    text = b'"' + b"x" * LONGEST_TEXT + b'"'
    cards.find([text, text])
    assert len(cards_read) == 2


@pytest.mark.parametrize("text_length", [0, 300, 3500])
def test_memory_is_bounded(recommender, text_length):
    """A flood of cards that nobody has seen takes what it may take, and no more."""
    memory = 2 << 20
    way = SeenCards(stages.card_reader(recommender), memory)
    tracemalloc.start()
    for number in range(2 * memory // (2 * text_length + 500)):
        card = {"name": f"Flood {number}", "oracle_text": "x" * text_length}
        way.find([msgspec.json.encode(card)])
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert memory / 4 < taken < memory
