"""Run a release: `make deploy ENV=prod RELEASE=…`, and go back: `make rollback ENV=prod VERSION=…`.

A deployment registers a new task definition (the family's newest, which Terraform writes, with the
images of the release), gives it to the service and waits until all tasks run it. ECS's circuit
breaker gives up on a deployment whose tasks keep dying; whatever the reason that it does not become
stable, the service is given back the definition it ran before.

Images are tagged once and never moved, so going back is deploying an older tag.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from infrastructure.operations.access import access
from infrastructure.operations.errors import (
    ConfigurationError,
    DeploymentFailed,
    OperationError,
    told,
)
from infrastructure.operations.release_name import RELEASE
from infrastructure.operations.stack import Stack

CONTAINERS = ("torchserve", "gateway")
TIMEOUT_S = 900
POLL_S = 10

# What DescribeTaskDefinition adds and RegisterTaskDefinition refuses.
_READ_ONLY = frozenset(
    {
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
    }
)


def deploy(
    stack: Stack,
    release: str,
    timeout_s: float = TIMEOUT_S,
    poll_s: float = POLL_S,
    report: Callable[[str], None] = print,
) -> str:
    """Make the service run the images of a release; return the task definition's ARN.

    Raises:
        ConfigurationError: no such release in the registry, or no such service.
        DeploymentFailed: the service did not become stable, and is back at what it ran before.
    """
    ecs = stack.client("ecs")
    images = find_images(stack, release)
    with access("deploying"):
        before = _service(ecs, stack)["taskDefinition"]
        definition = ecs.describe_task_definition(taskDefinition=stack.cluster)["taskDefinition"]
        fields = {key: value for key, value in definition.items() if key not in _READ_ONLY}
        for container in fields["containerDefinitions"]:
            container["image"] = images[container["name"]]
        new: str = ecs.register_task_definition(**fields)["taskDefinition"]["taskDefinitionArn"]
        report(f"draft: {before.rpartition('/')[2]} -> {new.rpartition('/')[2]}")
        ecs.update_service(cluster=stack.cluster, service=stack.cluster, taskDefinition=new)
        try:
            _wait(ecs, stack, new, timeout_s, poll_s, report)
        except DeploymentFailed as failure:
            report(f"draft: {failure}")
            ecs.update_service(cluster=stack.cluster, service=stack.cluster, taskDefinition=before)
            raise DeploymentFailed(
                f"{failure}; the service is back at {before.rpartition('/')[2]}. "
                f"`make logs ENV={stack.environment}` shows why"
            ) from None
    return new


def find_images(stack: Stack, release: str) -> dict[str, str]:
    """The images of a release, by container. Raises ConfigurationError when one is missing."""
    if not RELEASE.fullmatch(release):
        raise ConfigurationError(
            f"{release or '(empty)'} is no release; `make push` prints one, such as 0.1.0-1a2b3c4"
        )
    ecr = stack.client("ecr")
    images = {}
    for container in CONTAINERS:
        name = stack.repository(container)
        try:
            with access(f"looking for {name}:{release}"):
                ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": release}])
                found = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
        except OperationError as error:
            if "NotFound" not in str(error):
                raise
            raise ConfigurationError(
                f"the registry has no {name}:{release}: run `make push`, or choose a release that "
                f"`make status ENV={stack.environment}` lists"
            ) from None
        images[container] = f"{found['repositoryUri']}:{release}"
    return images


def newest_of_version(stack: Stack, version: str) -> str:
    """The newest pushed release of a version: 0.1.0 -> 0.1.0-1a2b3c4; a full release is itself."""
    if RELEASE.fullmatch(version):
        return version
    name = stack.repository(CONTAINERS[0])
    with access(f"looking for images of {version}"):
        pages = stack.client("ecr").get_paginator("describe_images").paginate(repositoryName=name)
        images = [image for page in pages for image in page["imageDetails"]]
    tagged: list[tuple[Any, str]] = [
        (image["imagePushedAt"], tag)
        for image in images
        for tag in image.get("imageTags", ())
        if tag.startswith(f"{version}-")
    ]
    if not tagged:
        raise ConfigurationError(f"the registry has no image of version {version or '(empty)'}")
    return max(tagged)[1]


def _service(ecs: Any, stack: Stack) -> dict[str, Any]:
    found = ecs.describe_services(cluster=stack.cluster, services=[stack.cluster])["services"]
    if not found or found[0]["status"] != "ACTIVE":
        raise ConfigurationError(
            f"there is no service {stack.cluster} in {stack.region}: is it the right region, and "
            f"was `make apply ENV={stack.environment}` run?"
        )
    service: dict[str, Any] = found[0]
    return service


def _wait(
    ecs: Any,
    stack: Stack,
    definition: str,
    timeout_s: float,
    poll_s: float,
    report: Callable[[str], None],
) -> None:
    deadline = time.monotonic() + timeout_s
    shown = ""
    while True:
        service = _service(ecs, stack)
        primary = next(each for each in service["deployments"] if each["status"] == "PRIMARY")
        running, desired = primary["runningCount"], primary["desiredCount"]
        state = primary.get("rolloutState", "IN_PROGRESS")
        line = f"draft: {running}/{desired} tasks, {state.lower().replace('_', ' ')}"
        if line != shown:
            report(line)
            shown = line
        if primary["taskDefinition"] != definition or state == "FAILED":
            reason = primary.get("rolloutStateReason", "ECS rolled it back")
            raise DeploymentFailed(f"the deployment failed: {reason}")
        if state == "COMPLETED" and running >= desired:
            return
        if time.monotonic() >= deadline:
            raise DeploymentFailed(f"the deployment is not stable after {timeout_s:.0f} s")
        time.sleep(poll_s)


@told
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infrastructure.operations.deploy")
    parser.add_argument("--env", required=True)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--release", help="a release, as `make push` printed it")
    which.add_argument("--version", help="a version or release to go back to")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds")
    options = parser.parse_args(arguments)
    stack = Stack.of(options.env)
    release = options.release or newest_of_version(stack, options.version or "")
    print(f"draft: service {stack.cluster} in {stack.region} gets {release}", flush=True)
    if os.environ.get("DRY_RUN"):
        find_images(stack, release)
        return 0
    deploy(stack, release, options.timeout)
    print(f"draft: {stack.cluster} runs {release}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
