"""API keys beside those of Terraform: `make api-key ENV=prod NAME=…`, and `DISABLE=1` to end one.

To rotate a client's key, make one under a new name, give it out, and disable the old one when its
use has ended. A key's value is shown once, when it is made.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from infrastructure.operations.access import access
from infrastructure.operations.errors import ConfigurationError, told
from infrastructure.operations.stack import Stack

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def create(stack: Stack, name: str) -> str:
    """Make a key and put it into the usage plan; return its value.

    Raises ConfigurationError when the name is malformed or taken, or there is no usage plan. A key
    that cannot join the plan is deleted again, for it could do nothing.
    """
    client = stack.client("apigateway")
    full = _full_name(stack, name)
    with access(f"making the API key {full}"):
        plan = _plan(client, stack)
        if any(key["name"] == full for key in _keys(client, full)):
            raise ConfigurationError(f"there is a key {full} already; choose another NAME")
        key = client.create_api_key(name=full, enabled=True)
        try:
            client.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
        except BaseException:
            client.delete_api_key(apiKey=key["id"])
            raise
    value: str = key["value"]
    return value


def disable(stack: Stack, name: str) -> None:
    """Make a key useless without deleting it. Raises ConfigurationError when there is none."""
    client = stack.client("apigateway")
    full = _full_name(stack, name)
    with access(f"disabling the API key {full}"):
        found = [key for key in _keys(client, full) if key["name"] == full]
        if not found:
            raise ConfigurationError(f"there is no key {full} in {stack.region}")
        for key in found:
            operation = {"op": "replace", "path": "/enabled", "value": "false"}
            client.update_api_key(apiKey=key["id"], patchOperations=[operation])


def _full_name(stack: Stack, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"NAME={name or '(empty)'}: lower-case letters, digits, hyphens, such as first-client"
        )
    return f"{stack.prefix}-{name}"


def _plan(client: Any, stack: Stack) -> str:
    pages = client.get_paginator("get_usage_plans").paginate()
    plans = [plan["id"] for page in pages for plan in page["items"] if plan["name"] == stack.prefix]
    if len(plans) != 1:
        raise ConfigurationError(
            f"there are {len(plans)} usage plans {stack.prefix} in {stack.region}, not one: "
            f"was `make apply ENV={stack.environment}` run there?"
        )
    found: str = plans[0]
    return found


def _keys(client: Any, prefix: str) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator("get_api_keys").paginate(nameQuery=prefix):
        yield from page["items"]


@told
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infrastructure.operations.keys")
    parser.add_argument("--env", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--disable", action="store_true")
    options = parser.parse_args(arguments)
    stack = Stack.of(options.env)
    verb = "disable" if options.disable else "make"
    print(f"draft: {verb} API key {_full_name(stack, options.name)} in {stack.region}")
    if os.environ.get("DRY_RUN"):
        return 0
    if options.disable:
        disable(stack, options.name)
    else:
        print(f"X-Api-Key: {create(stack, options.name)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
