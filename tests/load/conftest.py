"""Server and gateway for the short load tests; one at a time, shared by the tests it fits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtests.run import servers
from loadtests.scenarios import SCENARIOS, Scenario
from loadtests.stack import Stack, nginx_is_missing
from tests.serving.conftest import archive  # noqa: F401

from .runs import options

StackFor = Callable[[Scenario], Stack]


@pytest.fixture(scope="session", autouse=True)
def nginx() -> None:
    """Without nginx there is nothing to load, which pytest's summary says."""
    if nginx_is_missing():
        pytest.skip("the limits are NOT TESTED under load: nginx is not installed")


def needs(scenario: Scenario) -> tuple[object, ...]:
    """What a scenario asks of its server; scenarios that ask for the same can share one."""
    return (scenario.callers.name == "KEYS", *sorted(scenario.server.items()))


@pytest.fixture(scope="session")
def stack_for(
    nginx: None,
    archive: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StackFor]:
    """Give the server for a scenario, started when the one before had other needs."""
    with contextlib.ExitStack() as running:
        current: list[tuple[tuple[object, ...], Stack]] = []

        def give(scenario: Scenario) -> Stack:
            if not current or current[0][0] != needs(scenario):
                running.close()
                folder = tmp_path_factory.mktemp("stack")
                stack = running.enter_context(servers(options(scenario, folder)))
                assert stack is not None
                current[:] = [(needs(scenario), stack)]
            return current[0][1]

        yield give


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Scenarios that can share a server come one after the other."""

    def order(item: pytest.Item) -> str:
        scenario = getattr(item, "callspec", None) and item.callspec.params.get("scenario")
        return repr(needs(SCENARIOS[scenario])) if scenario else ""

    ours = [item for item in items if item.path.parent == Path(__file__).parent]
    places = [place for place, item in enumerate(items) if item in ours]
    for place, item in zip(places, sorted(ours, key=order), strict=True):
        items[place] = item
