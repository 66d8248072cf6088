import msgspec
import numpy as np
import pytest
import torch

from model.cards import Card, PickRequest
from model.collate import collate_features
from model.rank import probabilities, ranking
from model.recommender import CHUNK, Recommender, expected_pool_size

CREATURE = Card(
    name="Unheard-of Bear", mana_cost="{1}{G}", type="Creature — Bear", power=2, toughness=2
)


@pytest.fixture
def recommender(weights) -> Recommender:
    return Recommender.load(weights)


def codes(response):
    return [(warning.code, warning.path) for warning in response.warnings]


def test_an_answer_is_a_distribution_over_the_pack(recommender):
    pack = ["Shock", CREATURE, "Fire", "Llanowar Elves"]
    answer = recommender.recommend([PickRequest(pack=pack, pool=["Shock"])])[0]
    assert sum(answer.pick_probabilities) == pytest.approx(1.0, abs=1e-6)
    assert answer.recommended_pick == int(np.argmax(answer.pick_probabilities))
    assert answer.confidence == max(answer.pick_probabilities)
    assert [card.rank for card in answer.ranking] == [1, 2, 3, 4]
    assert sorted(card.index for card in answer.ranking) == [0, 1, 2, 3]
    assert [card.probability for card in answer.ranking] == sorted(answer.pick_probabilities)[::-1]
    assert (
        answer.ranking[0].name
        == ["Shock", "Unheard-of Bear", "Fire", "Llanowar Elves"][answer.recommended_pick]
    )
    assert answer.warnings == []
    assert answer.model_version == "9.9.9"
    assert answer.latency_ms > 0


def test_the_fast_path_agrees_with_the_network(recommender):
    """Unknown cards only: their features go through `forward`, padded to 15 and 45."""
    cards = [Card(name=f"New {n}", mana_cost="{X}" * n + "{G}", type="Creature") for n in range(9)]
    requests = [
        PickRequest(pack=cards[:4], pool=cards[4:]),
        PickRequest(pack=cards[2:9]),
        PickRequest(pack=cards[:1], pool=cards[3:5] * 4),
    ]
    extractor = recommender.extractor
    batch = collate_features(
        [extractor.extract_many(request.pack) for request in requests],
        [extractor.extract_many(request.pool) for request in requests],
        pack_slots=15,
        pool_slots=45,
    )
    assert batch.pack_BCF.shape[1] == 15
    assert batch.pool_BPF.shape[1] == 45
    with torch.no_grad():
        logits, _ = recommender.model(*batch)
    for answer, scores, request in zip(
        recommender.recommend(requests), logits, requests, strict=True
    ):
        expected = torch.softmax(scores, 0)[: len(request.pack)].tolist()
        assert answer.pick_probabilities == pytest.approx(expected, abs=1e-5)


def test_one_card_gets_the_same_features_in_training_and_in_serving(recommender):
    served = torch.from_numpy(recommender.extractor.extract_many([CREATURE]))
    trained = recommender.extractor.extract(CREATURE)
    assert torch.equal(served[0], torch.from_numpy(trained))


def test_copies_tie_exactly_and_the_first_is_recommended(recommender):
    pack = ["Llanowar Elves", "Shock", "Llanowar Elves", "shock", CREATURE, CREATURE]
    shares = recommender.recommend([PickRequest(pack=pack)])[0].pick_probabilities
    assert shares[0] == shares[2]
    assert shares[1] == shares[3]
    assert shares[4] == shares[5]


def test_attributes_of_a_known_card_change_nothing(recommender):
    bare = recommender.recommend([PickRequest(pack=["Shock", "Fire"])])[0]
    full = recommender.recommend(
        [PickRequest(pack=[Card(name="Shock", mana_cost="{9}"), Card(name="fire")])]
    )[0]
    assert bare.pick_probabilities == full.pick_probabilities


def test_many_requests_are_answered_in_order(recommender):
    packs = [["Shock", CREATURE], ["Fire"], [CREATURE, "Déjà Vu", "Shock"]]
    requests = [
        PickRequest(pack=packs[n % 3], pool=["Shock"] * (n % 46)) for n in range(2 * CHUNK + 5)
    ]
    together = recommender.recommend(requests)
    for request, answer in zip(requests[::17], together[::17], strict=True):
        alone = recommender.recommend([request])[0]
        assert answer.pick_probabilities == pytest.approx(alone.pick_probabilities, abs=1e-6)


def test_a_full_chunk_of_distinct_unknown_cards_fits_the_cache(recommender):
    requests = [
        PickRequest(
            pack=[Card(name=f"{n} pack {i}", type="Land") for i in range(15)],
            pool=[Card(name=f"{n} pool {i}", type="Land") for i in range(45)],
        )
        for n in range(2 * CHUNK)
    ]
    assert len(recommender.recommend(requests)) == 2 * CHUNK


def test_a_card_with_nothing_but_an_unknown_name_gets_a_warning(recommender):
    request = PickRequest(pack=["Shock", "Nobody Knows"], pool=[Card(name="Nor This"), CREATURE])
    assert codes(recommender.recommend([request])[0]) == [
        ("unknown_card", "$.pack[1]"),
        ("unknown_card", "$.pool[0]"),
    ]


def test_sets_outside_training_get_a_warning(recommender):
    assert codes(recommender.recommend([PickRequest(pack=["Shock"], set="fdn")])[0]) == []
    assert codes(recommender.recommend([PickRequest(pack=["Shock"], set="XYZ")])[0]) == [
        ("set_not_in_training", "$.set")
    ]


@pytest.mark.parametrize(
    ("pack", "pack_number", "pick_number", "expected"),
    [
        (14, 1, 1, 0),
        (8, 2, 7, 20),
        (3, 3, 12, 39),
        (15, 3, 1, 30),
        (15, None, 1, None),
        (1, 1, None, None),
    ],
)
def test_the_pool_that_belongs_to_a_pick(pack, pack_number, pick_number, expected):
    request = PickRequest(pack=["a"] * pack, pack_number=pack_number, pick_number=pick_number)
    assert expected_pool_size(request) == expected


def test_a_pool_that_does_not_belong_to_the_pick_gets_a_warning(recommender):
    right = PickRequest(pack=["Shock"] * 13, pool=["Fire"], pack_number=1, pick_number=2)
    wrong = PickRequest(pack=["Shock"] * 13, pool=[], pack_number=1, pick_number=2)
    assert codes(recommender.recommend([right])[0]) == []
    assert codes(recommender.recommend([wrong])[0]) == [("pool_size_mismatch", "$.pool")]


def test_strength_and_synergy_add_up_to_the_ranking(recommender):
    pack = ["Shock", CREATURE, "Fire", "Shock"]
    plain, explained, first = recommender.recommend(
        [
            PickRequest(pack=pack, pool=["Shock", "Fire"]),
            PickRequest(pack=pack, pool=["Shock", "Fire"], explain=True),
            PickRequest(pack=pack, explain=True),
        ]
    )
    assert plain.explanation is msgspec.UNSET
    assert b"explanation" not in msgspec.json.encode(plain)
    totals = np.array([card.strength + card.synergy for card in explained.explanation])
    logits = np.log(explained.pick_probabilities)
    assert totals - totals.mean() == pytest.approx(logits - logits.mean(), abs=1e-3)
    assert [card.synergy for card in first.explanation] == pytest.approx([0] * 4, abs=1e-4)
    assert any(abs(card.synergy) > 1e-3 for card in explained.explanation)


def test_shares_are_those_of_each_pack_alone():
    logits = np.array([0.0, 0.0, 500.0, -500.0, 7.0], np.float32)
    shares = probabilities(logits, np.array([0, 0, 1, 1, 2]), np.array([0, 2, 4]))
    assert shares.tolist() == [0.5, 0.5, 1.0, 0.0, 1.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_never_sent(bad):
    with pytest.raises(ValueError, match="not finite"):
        probabilities(np.array([0.0, bad], np.float32), np.array([0, 0]), np.array([0]))
    with pytest.raises(ValueError, match="not finite"):
        probabilities(np.array([-bad, bad], np.float32), np.array([0, 1]), np.array([0, 1]))


def test_ties_keep_the_order_of_the_pack():
    assert [card.index for card in ranking(["a", "b", "c"], [0.3, 0.4, 0.3])] == [1, 0, 2]
    assert [card.index for card in ranking(["a", "b", "c"], [0.3, 0.3, 0.4])] == [2, 0, 1]


def test_logits_are_those_of_the_answers(recommender):
    requests = [PickRequest(pack=["Shock"]), PickRequest(pack=["Shock", CREATURE, "Fire"])]
    logits = recommender.logits(requests)
    assert logits.shape == (2, 3)
    assert np.isinf(logits).tolist() == [[False, True, True], [False] * 3]
    shares = np.exp(logits[1]) / np.exp(logits[1]).sum()
    answer = recommender.recommend(requests)[1]
    assert answer.pick_probabilities == pytest.approx(shares.tolist(), abs=1e-6)


def test_an_explanation_does_not_touch_the_neighbours(recommender):
    requests = [
        PickRequest(pack=["Shock", CREATURE], pool=["Fire"] * n, explain=n % 2 == 0)
        for n in range(4)
    ]
    for n, (together, request) in enumerate(
        zip(recommender.recommend(requests), requests, strict=True)
    ):
        alone = recommender.recommend([request])[0]
        assert together.pick_probabilities == pytest.approx(alone.pick_probabilities, abs=1e-6)
        assert (together.explanation is msgspec.UNSET) == bool(n % 2)


def test_warnings_of_unknown_cards_find_their_pick(recommender):
    """Also next to picks without a pool, whose pools start where their neighbours' do."""
    requests = [
        PickRequest(pack=["Nobody Knows"]),
        PickRequest(pack=["Shock"], pool=["Shock", "Nobody Knows"]),
        PickRequest(pack=["Shock", "Nor This"]),
        PickRequest(pack=["Shock"]),
    ]
    assert [codes(answer) for answer in recommender.recommend(requests)] == [
        [("unknown_card", "$.pack[0]")],
        [("unknown_card", "$.pool[1]")],
        [("unknown_card", "$.pack[1]")],
        [],
    ]
