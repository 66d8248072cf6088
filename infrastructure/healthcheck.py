"""The containers' health check: `python -m infrastructure.healthcheck PORT` asks /health on
loopback.

Exit code 0 for 200, 1 for everything else. The image has no curl; this takes 40 ms.
"""

from __future__ import annotations

import http.client
import sys

TIMEOUT_S = 4.0


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1 or not arguments[0].isdecimal():
        print("usage: python -m infrastructure.healthcheck PORT", file=sys.stderr)
        return 1
    connection = http.client.HTTPConnection("127.0.0.1", int(arguments[0]), timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        print(answer.read(200).decode(errors="replace"))
    except OSError as error:
        print(f"no answer: {error}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    raise SystemExit(main())
