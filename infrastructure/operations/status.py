"""How the service is: `make status ENV=prod`. Deployments, targets, alarms, releases."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from infrastructure.operations.access import access
from infrastructure.operations.deploy import CONTAINERS
from infrastructure.operations.errors import ConfigurationError, told
from infrastructure.operations.stack import Stack

EVENTS = 5
RELEASES = 5


def report(stack: Stack) -> Iterator[str]:
    """The lines of the screen. Raises ConfigurationError when the service does not exist."""
    ecs = stack.client("ecs")
    with access("asking for the service"):
        found = ecs.describe_services(cluster=stack.cluster, services=[stack.cluster])["services"]
        if not found:
            raise ConfigurationError(f"there is no service {stack.cluster} in {stack.region}")
        service = found[0]
        yield (
            f"{stack.cluster} in {stack.region}: {service['status']}, {service['runningCount']} of "
            f"{service['desiredCount']} tasks running"
        )
        for deployment in service["deployments"]:
            definition = ecs.describe_task_definition(taskDefinition=deployment["taskDefinition"])
            containers = definition["taskDefinition"]["containerDefinitions"]
            images = sorted({each["image"].rpartition(":")[2] for each in containers})
            yield (
                f"  {deployment['status'].lower():8} {', '.join(images)}  "
                f"{deployment['runningCount']}/{deployment['desiredCount']} tasks, "
                f"{deployment.get('rolloutState', 'unknown').lower()}"
            )
        for event in service.get("events", [])[:EVENTS]:
            yield f"  {event['createdAt']:%Y-%m-%d %H:%M} {event['message']}"
    yield from _targets(stack, [each["targetGroupArn"] for each in service["loadBalancers"]])
    yield from _alarms(stack)
    yield from _releases(stack)


def _targets(stack: Stack, groups: Sequence[str]) -> Iterator[str]:
    with access("asking for the targets"):
        for group in groups:
            answer = stack.client("elbv2").describe_target_health(TargetGroupArn=group)
            states = [each["TargetHealth"]["State"] for each in answer["TargetHealthDescriptions"]]
            counted = {state: states.count(state) for state in sorted(set(states))}
            shown = ", ".join(f"{count} {state}" for state, count in counted.items())
            yield f"targets: {shown or 'none registered'}"


def _alarms(stack: Stack) -> Iterator[str]:
    with access("asking for the alarms"):
        pages = (
            stack.client("cloudwatch")
            .get_paginator("describe_alarms")
            .paginate(AlarmNamePrefix=f"{stack.prefix}-")
        )
        alarms = [alarm for page in pages for alarm in page["MetricAlarms"]]
    loud = [alarm for alarm in alarms if alarm["StateValue"] == "ALARM"]
    yield f"alarms: {len(loud)} of {len(alarms)}"
    for alarm in loud:
        yield f"  {alarm['AlarmName']}: {alarm.get('AlarmDescription', '')}"


def _releases(stack: Stack) -> Iterator[str]:
    name = stack.repository(CONTAINERS[0])
    with access("asking for the images"):
        pages = stack.client("ecr").get_paginator("describe_images").paginate(repositoryName=name)
        images = [image for page in pages for image in page["imageDetails"]]
    tagged = [image for image in images if image.get("imageTags")]
    tagged.sort(key=lambda image: image["imagePushedAt"], reverse=True)
    yield f"releases in the registry: {len(tagged)}"
    for image in tagged[:RELEASES]:
        yield f"  {image['imagePushedAt']:%Y-%m-%d %H:%M} {', '.join(image['imageTags'])}"


@told
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infrastructure.operations.status")
    parser.add_argument("--env", required=True)
    options = parser.parse_args(arguments)
    for line in report(Stack.of(options.env)):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
