"""Good requests to a real server: whole, consistent answers, the same as the library gives."""

from __future__ import annotations

import itertools
import json
import random
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from handler.stages import Body, Ticket, decode, validate
from loadtests.payloads import catalogue, encode, unseen
from model import Card, PickRequest, Recommender
from model.cards import PACK_MAX, POOL_MAX, REVIEW_MAX

from .server import JSON, ROOT, LaunchedServer

PREDICT = "/predictions/draft"
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.json"))
# A batch of another size may round a float32 logit differently in its last places.
TOLERANCE = 1e-6

CARDS = catalogue()


@pytest.fixture(scope="module")
def library(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """The library in this process, with the weights of the archive the server runs."""
    folder = tmp_path_factory.mktemp("weights")
    with zipfile.ZipFile(archive) as content:
        for name in ("model.safetensors", "meta.json"):
            content.extract(name, folder)
    return Recommender.load(folder)


def post(
    server: LaunchedServer, body: Any, headers: dict[str, str] | None = None
) -> requests.Response:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return server.http.post(
        server.url + PREDICT, data=content, headers={**JSON, **(headers or {})}, timeout=60
    )


def ask(server: LaunchedServer, body: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The answer to a request that must get one."""
    reply = post(server, body, headers)
    assert reply.status_code == 200, reply.text
    assert reply.headers["Content-Type"] == "application/json"
    answer: dict[str, Any] = reply.json()
    return answer


def timeless(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs from one time to the next."""
    return {key: value for key, value in answer.items() if key != "latency_ms"}


def names(pack: Sequence[Any]) -> list[str]:
    return [card if isinstance(card, str) else card["name"] for card in pack]


def expect_consistent(answer: dict[str, Any], pack: Sequence[Any], version: str) -> None:
    """Everything an answer says about its pack fits together."""
    shares = answer["pick_probabilities"]
    assert len(shares) == len(pack)
    assert all(0 <= share <= 1 for share in shares)
    assert sum(shares) == pytest.approx(1, abs=1e-6)
    ranking = answer["ranking"]
    assert [entry["rank"] for entry in ranking] == list(range(1, len(pack) + 1))
    assert sorted(entry["index"] for entry in ranking) == list(range(len(pack)))
    # Best first, and equal cards in the order of the pack.
    order = [(-entry["probability"], entry["index"]) for entry in ranking]
    assert order == sorted(order)
    for entry in ranking:
        assert entry["probability"] == shares[entry["index"]]
        assert entry["name"] == names(pack)[entry["index"]]
    assert answer["recommended_pick"] == ranking[0]["index"]
    assert answer["confidence"] == ranking[0]["probability"] == max(shares)
    assert 0 < answer["latency_ms"] < 60_000
    assert answer["model_version"] == version


def full_pick(rng: random.Random) -> PickRequest:
    """As much as a pick can hold: 15 cards and a pool of 45, wordy ones, every attribute told."""
    wordy = sorted(CARDS, key=lambda card: -len(card.oracle_text))[:40]
    return PickRequest(pack=rng.sample(wordy, PACK_MAX), pool=rng.choices(wordy, k=POOL_MAX))


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples(server: LaunchedServer, library: Recommender, example: str) -> None:
    content = (ROOT / "examples" / example).read_bytes()
    pick = json.loads(content)
    answer = ask(server, content)
    expect_consistent(answer, pick["pack"], library.version)
    assert answer["warnings"] == []
    assert "explanation" not in answer
    # Sensible: the network prefers something.
    assert answer["confidence"] > 1.5 / len(pick["pack"])


def test_version_is_the_projects(server: LaunchedServer) -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{ask(server, {"pack": ["Opt"]})["model_version"]}"' in pyproject


def test_server_agrees_with_the_library(server: LaunchedServer, library: Recommender) -> None:
    rng = random.Random(1)
    for size, pool in [(15, 0), (1, 45), (14, 1), (8, 20), (2, 44), (15, 45)]:
        known = PickRequest(pack=rng.sample(CARDS, size), pool=rng.choices(CARDS, k=pool))
        new = PickRequest(
            pack=[unseen(card) for card in known.pack if isinstance(card, Card)],
            pool=[unseen(card) for card in known.pool if isinstance(card, Card)],
        )
        for pick in (known, new):
            answer = ask(server, encode(pick))
            expected = library.recommend([pick])[0]
            assert answer["pick_probabilities"] == pytest.approx(
                expected.pick_probabilities, abs=TOLERANCE
            )
            assert answer["recommended_pick"] == expected.recommended_pick


def test_bytes_and_a_decoded_body_are_the_same_request(
    server: LaunchedServer, library: Recommender
) -> None:
    """TorchServe can hand over JSON it decoded itself; a server without our launcher would."""
    content = (ROOT / "examples" / "mid_pack_two.json").read_bytes()
    decoded, raw = (
        validate(decode([Body(body, "application/json")]))[0]
        for body in (json.loads(content), content)
    )
    assert isinstance(decoded, Ticket)
    assert decoded == raw
    answer = ask(server, content)
    expected = library.recommend([pick for pick in decoded.picks if isinstance(pick, PickRequest)])
    assert answer["pick_probabilities"] == pytest.approx(
        expected[0].pick_probabilities, abs=TOLERANCE
    )


def test_order_of_the_pack_only_permutes_the_answer(server: LaunchedServer) -> None:
    rng = random.Random(2)
    pick = json.loads((ROOT / "examples" / "mid_pack_two.json").read_bytes())
    straight = ask(server, pick)["pick_probabilities"]
    order = list(range(len(pick["pack"])))
    rng.shuffle(order)
    pool = pick["pool"][::-1]
    shuffled = {**pick, "pack": [pick["pack"][place] for place in order], "pool": pool}
    permuted = ask(server, shuffled)["pick_probabilities"]
    assert permuted == pytest.approx([straight[place] for place in order], abs=TOLERANCE)


def test_a_name_is_enough_for_a_known_card(server: LaunchedServer) -> None:
    pick = json.loads((ROOT / "examples" / "late_pack_three.json").read_bytes())
    bare = {**pick, "pack": names(pick["pack"]), "pool": names(pick["pool"])}
    assert timeless(ask(server, bare)) == timeless(ask(server, pick))


def test_names_match_without_case_and_accents(server: LaunchedServer) -> None:
    printed = ask(server, {"pack": ["Lim-Dûl's Vault", "Llanowar Elves", "Opt"]})
    typed = ask(server, {"pack": ["lim-dul's vault", "LLANOWAR ELVES", " opt "]})
    assert typed["pick_probabilities"] == printed["pick_probabilities"]
    assert typed["warnings"] == printed["warnings"] == []


def test_copies_of_a_card_tie(server: LaunchedServer) -> None:
    card = {"name": "Brass Gryphon", "mana_cost": "{3}{W}", "type": "Creature — Griffin"}
    answer = ask(server, {"pack": ["Opt", card, "Shock", "Opt", card], "pool": ["Opt"]})
    shares = answer["pick_probabilities"]
    assert shares[0] == shares[3]
    assert shares[1] == shares[4]
    places = [entry["index"] for entry in answer["ranking"]]
    assert places.index(0) < places.index(3)
    assert places.index(1) < places.index(4)


def test_attributes_decide_on_an_unknown_card(server: LaunchedServer) -> None:
    bomb = {
        "name": "Zephyr Tyrant",
        "mana_cost": "{3}{U}{U}",
        "type": "Creature — Dragon",
        "power": 6,
        "toughness": 6,
        "keywords": ["Flying"],
        "rarity": "mythic",
        "oracle_text": "Flying\nWhen this creature enters, draw three cards.",
    }
    dud = {
        "name": "Zephyr Pebble",
        "mana_cost": "{6}",
        "type": "Artifact Creature — Wall",
        "power": 0,
        "toughness": 1,
        "keywords": ["Defender"],
        "rarity": "common",
        "oracle_text": "Defender",
    }
    answer = ask(server, {"pack": [dud, bomb]})
    assert answer["recommended_pick"] == 1
    assert answer["warnings"] == []


def test_explanation_adds_up(server: LaunchedServer) -> None:
    pick = json.loads((ROOT / "examples" / "late_pack_three.json").read_bytes())
    plain, explained = ask(server, pick), ask(server, {**pick, "explain": True})
    explanation = explained.pop("explanation")
    assert timeless(explained) == timeless(plain)
    assert [entry["index"] for entry in explanation] == list(range(len(pick["pack"])))
    assert [entry["name"] for entry in explanation] == names(pick["pack"])
    # Each part is relative to the pack's average and rounded to four places.
    for part in ("strength", "synergy"):
        assert sum(entry[part] for entry in explanation) == pytest.approx(0, abs=1e-3)
    scores = [entry["strength"] + entry["synergy"] for entry in explanation]
    ranked = [scores[entry["index"]] for entry in explained["ranking"]]
    assert all(better >= worse - 2e-4 for better, worse in itertools.pairwise(ranked))


def test_explanation_without_a_pool_is_all_strength(server: LaunchedServer) -> None:
    answer = ask(server, {"pack": ["Opt", "Shock", "Llanowar Elves"], "explain": True})
    assert [entry["synergy"] for entry in answer["explanation"]] == [0, 0, 0]


def test_every_warning(server: LaunchedServer) -> None:
    answer = ask(
        server,
        {
            "pack": ["Opt", "A Card That Was Never Printed"],
            "pool": ["Shock", {"name": "Another Such Card"}],
            "set": "ZZZ",
            "pack_number": 1,
            "pick_number": 9,
        },
    )
    assert [(warning["code"], warning["path"]) for warning in answer["warnings"]] == [
        ("unknown_card", "$.pack[1]"),
        ("unknown_card", "$.pool[1]"),
        ("set_not_in_training", "$.set"),
        ("pool_size_mismatch", "$.pool"),
    ]
    assert all(warning["message"] for warning in answer["warnings"])


def test_no_warning_without_a_reason(server: LaunchedServer) -> None:
    pick = {
        "pack": ["Opt", {"name": "Brass Gryphon", "mana_cost": "{3}{W}"}],
        "pool": ["Shock"] * 3,
        "pack_number": 1,
        "pick_number": 4,
    }
    assert ask(server, pick)["warnings"] == []


def test_context_never_changes_the_ranking(server: LaunchedServer) -> None:
    pick = {"pack": ["Opt", "Shock", "Llanowar Elves"], "pool": ["Giant Growth"]}
    plain = ask(server, pick)
    told = ask(server, {**pick, "set": "ZZZ", "pack_number": 3, "pick_number": 12})
    assert told["pick_probabilities"] == plain["pick_probabilities"]


@pytest.mark.parametrize(
    "power",
    [0, -1, 13.5, 999, "*", "1+*", "*+1", "7-*", "X", "2½", "∞", "?", "*²", None],
    ids=str,
)
def test_every_way_to_write_a_power(server: LaunchedServer, power: object) -> None:
    card = {"name": "Odd One", "type": "Creature — Shapeshifter", "power": power}
    answer = ask(server, {"pack": ["Opt", {**card, "toughness": power, "loyalty": power}]})
    assert sum(answer["pick_probabilities"]) == pytest.approx(1, abs=1e-6)


def test_texts_of_any_script_come_back_unchanged(server: LaunchedServer) -> None:
    pack = ["火の玉", "Огненный шар", "🔥" * 50, 'a"b\\c', "a\u0000b", "\u202eabc", "x" * 200]
    answer = ask(server, {"pack": pack})
    expect_consistent(answer, pack, answer["model_version"])


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "APPLICATION/JSON",
        " application/json ",
        "",
    ],
)
def test_ways_to_say_json(server: LaunchedServer, content_type: str) -> None:
    headers = {"Content-Type": content_type.strip()} if content_type else {}
    reply = server.http.post(
        server.url + PREDICT, data=b'{"pack":["Opt"]}', headers=headers, timeout=30
    )
    assert reply.status_code == 200, reply.text


def test_answers_must_not_be_cached(server: LaunchedServer) -> None:
    headers = post(server, {"pack": ["Opt"]}).headers
    assert "no-store" in headers["Cache-Control"]
    assert headers["X-Request-Id"]


@pytest.mark.parametrize(
    "headers",
    [
        {"describe": "True"},
        {"explain": "True"},
        {"body": "x"},
        {"data": "x"},
        {"Describe": "True", "Explain": "True"},
        {"url_path": "x", "customized": "true"},
        {"describe": "True", "explain": "True", "body": "x", "data": "x"},
    ],
    ids=str,
)
def test_headers_that_torchserve_uses_itself_are_harmless(
    server: LaunchedServer, headers: dict[str, str]
) -> None:
    pick = {"pack": ["Opt", "Shock", "Llanowar Elves"], "pool": ["Giant Growth"]}
    assert timeless(ask(server, pick, headers)) == timeless(ask(server, pick))
    empty = post(server, b"", headers)
    assert (empty.status_code, empty.json()["code"]) == (400, "empty_body")


@pytest.mark.parametrize("body", [b"--x--\r\n", b""], ids=["no part", "empty"])
def test_a_form_without_parts_cannot_pass_for_the_operators_question(
    server: LaunchedServer, body: bytes
) -> None:
    """It is the one request of a client's that has no body either when it reaches the handler."""
    headers = {"Content-Type": "multipart/form-data; boundary=x", "describe": "True"}
    reply = server.http.post(server.url + PREDICT, data=body, headers=headers, timeout=30)
    assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_media_type")


def test_review_of_a_whole_draft_of_full_picks(
    server: LaunchedServer, library: Recommender
) -> None:
    rng = random.Random(3)
    picks = [full_pick(rng) for _ in range(REVIEW_MAX)]
    body = b'{"requests":[' + b",".join(encode(pick) for pick in picks) + b"]}"
    assert 700_000 < len(body) < 1_048_576
    answer = ask(server, body)
    assert answer["errors"] == 0
    assert len(answer["results"]) == REVIEW_MAX
    for result, expected in zip(answer["results"], library.recommend(picks), strict=True):
        assert result["pick_probabilities"] == pytest.approx(
            expected.pick_probabilities, abs=TOLERANCE
        )
        assert [entry["name"] for entry in result["ranking"]] == [
            entry.name for entry in expected.ranking
        ]


def test_review_fails_only_where_it_is_broken(server: LaunchedServer) -> None:
    good = [{"pack": ["Opt", "Shock"], "pool": ["Opt"] * size} for size in range(6)]
    broken = {"pack": ["Opt", {"name": "Shock", "mana_cost": "R"}]}
    mixed = [*good[:3], broken, *good[4:]]
    answer = ask(server, {"requests": mixed})
    assert answer["errors"] == 1
    failed = answer["results"][3]
    assert list(failed) == ["error"]
    assert failed["error"]["code"] == "malformed_mana_cost"
    assert failed["error"]["path"] == "$.requests[3].pack[1].mana_cost"
    for place in (0, 1, 2, 4, 5):
        alone = ask(server, good[place])
        assert answer["results"][place]["pick_probabilities"] == pytest.approx(
            alone["pick_probabilities"], abs=TOLERANCE
        )


def test_review_of_nothing_but_broken_picks(server: LaunchedServer) -> None:
    answer = ask(server, {"requests": [3, None, "Opt", [], {"requests": []}]})
    assert answer["errors"] == 5
    assert [result["error"]["path"] for result in answer["results"]] == [
        "$.requests[0]",
        "$.requests[1]",
        "$.requests[2]",
        "$.requests[3]",
        "$.requests[4].requests",
    ]
