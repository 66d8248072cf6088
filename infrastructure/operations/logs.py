"""The newest log lines: `make logs ENV=prod OF=torchserve SINCE=600 FOLLOW=1`."""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Iterator, Sequence

from infrastructure.operations.access import access
from infrastructure.operations.errors import ConfigurationError, OperationError, told
from infrastructure.operations.stack import Stack

LOGS = ("torchserve", "gateway", "api", "training")
POLL_S = 2.0


def lines(
    stack: Stack, log: str, since_s: float, follow: bool = False, poll_s: float = POLL_S
) -> Iterator[str]:
    """Lines of a log, oldest first, from `since_s` seconds ago on; with `follow` without end.

    Raises ConfigurationError when there is no such log.
    """
    if log not in LOGS:
        raise ConfigurationError(f"OF={log} is no log; there are {', '.join(LOGS)}")
    group = stack.log_group(log)
    client = stack.client("logs")
    start_ms = int((time.time() - since_s) * 1000)
    # Lines of one moment may come in two answers: those seen in the newest moment are remembered.
    seen: set[str] = set()
    while True:
        newest = start_ms
        try:
            with access(f"reading {group}"):
                pages = client.get_paginator("filter_log_events").paginate(
                    logGroupName=group, startTime=start_ms
                )
                events = [event for page in pages for event in page["events"]]
        except OperationError as error:
            if "ResourceNotFoundException" not in str(error):
                raise
            raise ConfigurationError(
                f"there is no log {group} in {stack.region}: was `make apply` run there?"
            ) from None
        for event in sorted(events, key=lambda each: each["timestamp"]):
            if event["eventId"] in seen:
                continue
            seen.add(event["eventId"])
            newest = max(newest, event["timestamp"])
            moment = datetime.datetime.fromtimestamp(event["timestamp"] / 1000, datetime.UTC)
            yield f"{moment:%H:%M:%S} {event['message'].rstrip()}"
        if not follow:
            return
        if newest > start_ms:
            start_ms = newest
            seen = {event["eventId"] for event in events if event["timestamp"] >= newest}
        time.sleep(poll_s)


@told
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infrastructure.operations.logs")
    parser.add_argument("--env", required=True)
    parser.add_argument("--of", default="torchserve", help=", ".join(LOGS))
    parser.add_argument("--since", type=float, default=600.0, help="seconds")
    parser.add_argument("--follow", action="store_true")
    options = parser.parse_args(arguments)
    try:
        for line in lines(Stack.of(options.env), options.of, options.since, options.follow):
            print(line, flush=True)
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
