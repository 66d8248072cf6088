"""The exception tree: one status, one code and one title for each leaf, drawn as it is."""

from __future__ import annotations

import inspect
import re
from http import HTTPStatus

import pytest

from handler import errors
from handler.errors import DraftError


def leaves(base: type[DraftError] = DraftError) -> list[type[DraftError]]:
    children = base.__subclasses__()
    return [leaf for child in children for leaf in leaves(child)] if children else [base]


def inner(base: type[DraftError] = DraftError) -> list[type[DraftError]]:
    children = base.__subclasses__()
    return [base, *(node for child in children for node in inner(child))] if children else []


LEAVES = leaves()


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_leaf_has_one_status_one_code_and_a_title(leaf: type[DraftError]) -> None:
    assert 400 <= HTTPStatus(leaf.status) < 600
    assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", leaf.code)
    assert leaf.title == leaf.title.strip()
    assert not leaf.title.endswith(".")
    # The code belongs to the leaf itself: what it inherits, a sister would have as well.
    assert "code" in vars(leaf)
    assert "title" in vars(leaf)
    problem = leaf("what is wrong", "$.pack").problem()
    assert (problem.status, problem.code, problem.path) == (leaf.status, leaf.code, "$.pack")
    assert problem.type == f"urn:draft:problem:{leaf.code}"


def test_codes_and_titles_are_unique() -> None:
    assert len({leaf.code for leaf in LEAVES}) == len(LEAVES)
    assert len({leaf.title for leaf in LEAVES}) == len(LEAVES)


def test_status_is_decided_once_on_every_branch() -> None:
    for leaf in LEAVES:
        deciders = [node.__name__ for node in leaf.__mro__ if "status" in vars(node)]
        assert len(deciders) == 1, f"{leaf.__name__} gets its status from {deciders}"


def test_only_leaves_have_codes() -> None:
    assert [node.__name__ for node in inner() if "code" in vars(node)] == []


def test_docstring_draws_the_tree_as_it_is() -> None:
    def draw(node: type[DraftError], depth: int) -> list[tuple[int, str, str | None]]:
        children = node.__subclasses__()
        code = None if children else node.code
        drawn = [(depth, node.__name__, code)]
        return drawn + [line for child in children for line in draw(child, depth + 1)]

    drawing = []
    for line in inspect.getdoc(errors).splitlines():
        found = re.match(r"    ((?:│   |    )*)(?:├── |└── )(\w+)(?: \(\d+\))?\s*(.*)", line)
        if found:
            drawing.append((len(found[1]) // 4 + 1, found[2], found[3]))
    expected = draw(DraftError, 0)[1:]
    assert [(depth, name) for depth, name, _ in drawing] == [
        (depth, name) for depth, name, _ in expected
    ]
    for (_, name, remark), (_, _, code) in zip(drawing, expected, strict=True):
        assert code is None or remark == code, f"the drawing gives {name} the code {remark!r}"


def test_docstring_gives_every_status() -> None:
    drawn = dict(re.findall(r"(\w+) \((\d+)\)", inspect.getdoc(errors)))
    deciders = {
        node.__name__: str(vars(node)["status"])
        for node in [*inner(), *LEAVES]
        if "status" in vars(node)
    }
    assert drawn == deciders
