"""What the web ACL blocked: `make waf-blocked ENV=prod HOURS=24`, by rule, country and address."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from infrastructure.operations.access import access
from infrastructure.operations.errors import ConfigurationError, OperationError, told
from infrastructure.operations.stack import Stack

SHOWN = 10


def report(stack: Stack, hours: float) -> Iterator[str]:
    """The lines of the table, from the web ACL's log.

    Raises ConfigurationError for hours that are not positive, or when there is no log.
    """
    if not 0 < hours <= 24 * 30:
        raise ConfigurationError(f"HOURS={hours:g} must be more than 0 and at most 720")
    rules: Counter[str] = Counter()
    addresses: Counter[str] = Counter()
    for event in _events(stack, hours):
        if event.get("action") != "BLOCK":
            continue
        request = event.get("httpRequest", {})
        rules[event.get("terminatingRuleId", "unknown")] += 1
        addresses[f"{request.get('clientIp', 'unknown')} ({request.get('country', '??')})"] += 1
    yield f"{stack.cluster}: {rules.total()} requests blocked in {hours:g} h"
    for title, counted in (("rule", rules), ("address", addresses)):
        for name, count in counted.most_common(SHOWN):
            yield f"  {title:8} {count:8} {name}"


def _events(stack: Stack, hours: float) -> Iterator[dict[str, Any]]:
    start_ms = int((time.time() - hours * 3600) * 1000)
    group = stack.waf_log_group
    try:
        with access(f"reading {group}"):
            pages = (
                stack.client("logs")
                .get_paginator("filter_log_events")
                .paginate(logGroupName=group, startTime=start_ms)
            )
            messages = [event["message"] for page in pages for event in page["events"]]
    except OperationError as error:
        if "ResourceNotFoundException" not in str(error):
            raise
        raise ConfigurationError(f"there is no log {group} in {stack.region}") from None
    for message in messages:
        yield json.loads(message)


@told
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infrastructure.operations.waf")
    parser.add_argument("--env", required=True)
    parser.add_argument("--hours", type=float, default=24.0)
    options = parser.parse_args(arguments)
    for line in report(Stack.of(options.env), options.hours):
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
