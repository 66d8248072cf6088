"""Every test is marked by its folder, so `pytest -m unit` needs no decorators."""

import signal
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are noisy and shared: how long one example takes says nothing.
settings.register_profile("default", deadline=None)
settings.load_profile("default")

TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tier = item.path.relative_to(TESTS).parts[0]
        item.add_marker(tier)


def pytest_configure() -> None:
    # nohup and some CI runners start programs with SIGHUP ignored, which children inherit: tests
    # of stopping by signals would wait for ever.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
