"""A graceful stop under load: no accepted request is lost or answered wrongly.

A request is accepted when nginx has read it: then a line of its access log has its id. Clients
whose connection was closed before that may send their request anywhere else.
"""

from __future__ import annotations

import signal
import time

import pytest

from loadtests.answers import Outcome
from tests.gateway.conftest import StartGateway
from tests.gateway.gateway import Gateway

from .client import Clients
from .conftest import program
from .test_crashes import BACK_S, HEALTH_WINDOW_S, wait_for_health

CONNECTIONS = 32


def accepted(up: Gateway) -> dict[str, int]:
    """The status of every request that nginx has read, by its id."""
    return {line["request_id"]: line["status"] for line in up.access_log()}


def expect_nothing_lost(up: Gateway, clients: Clients) -> None:
    """Every accepted request was answered, rightly or with a refusal; and some were."""
    account = clients.account()
    assert clients.of(Outcome.WRONG) == [], account
    lines = accepted(up)
    answered = [each for each in clients.results if each.status]
    assert {each.request_id: each.status for each in answered} == {
        each.request_id: lines.get(each.request_id) for each in answered
    }
    unanswered = [each for each in clients.results if not each.status]
    lost = [each for each in unanswered if each.request_id in lines]
    assert lost == [], account
    assert {each.status for each in answered} <= {200, 503}, account
    refused = clients.of(Outcome.REFUSED)
    assert all(each.code == "not_ready" and not each.reason for each in refused), account


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_supervisor(start_up: StartGateway, number: signal.Signals) -> None:
    up = start_up(WORKERS="2")
    with Clients(up.port, CONNECTIONS) as clients:
        clients.wait_for_answers(300)
        assert up.stop(number) == 0
        time.sleep(0.2)
    expect_nothing_lost(up, clients)
    assert "still in flight" not in up.log
    assert clients.of(Outcome.REFUSED) == [], "the server outlives the last request"
    assert up.log.rstrip().endswith("up: stopped")
    assert up.left_over() == []


def test_sigterm_to_everything_at_once(start_up: StartGateway) -> None:
    """As ECS does: both programs are told to stop in the same moment, and the supervisor too."""
    up = start_up(WORKERS="2")
    with Clients(up.port, CONNECTIONS) as clients:
        clients.wait_for_answers(300)
        for module in ("infrastructure.serve", "infrastructure.gateway"):
            program(up, module).send_signal(signal.SIGTERM)
        assert up.stop(signal.SIGTERM) == 0
        time.sleep(0.2)
    expect_nothing_lost(up, clients)
    assert "still in flight" not in up.log
    assert up.left_over() == []


def test_a_restart_of_torchserve_behind_the_gateway(up: Gateway) -> None:
    """Refusals until it is back, and not one request that had been taken lost."""
    with Clients(up.port, CONNECTIONS) as clients:
        clients.wait_for_answers(200)
        program(up, "infrastructure.serve").send_signal(signal.SIGTERM)
        wait_for_health(up, 503, HEALTH_WINDOW_S)
        wait_for_health(up, 200, BACK_S)
        clients.wait_for_answers(200)
    # nginx writes its log once a second.
    time.sleep(1.2)
    expect_nothing_lost(up, clients)
    assert clients.of(Outcome.FAILED) == [], clients.account()
