from __future__ import annotations

from typing import Any

import pytest

from infrastructure.operations import deploy as module
from infrastructure.operations.deploy import CONTAINERS, deploy, find_images, newest_of_version
from infrastructure.operations.errors import ConfigurationError, DeploymentFailed
from infrastructure.operations.stack import Stack

OLD, NEW = "0.1.0-aaaaaaa", "0.2.0-bbbbbbb"
MANIFEST = (
    '{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", '
    '"config": {"digest": "%s"}}'
)


@pytest.fixture
def service(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A service that runs OLD, and a registry with OLD and NEW."""
    ecr, ecs = stack.client("ecr"), stack.client("ecs")
    for container in CONTAINERS:
        ecr.create_repository(repositoryName=stack.repository(container))
        for tag in (OLD, NEW):
            ecr.put_image(
                repositoryName=stack.repository(container),
                imageTag=tag,
                imageManifest=MANIFEST % (tag + container),
            )
    images = find_images(stack, OLD)
    ecs.create_cluster(clusterName=stack.cluster)
    ecs.register_task_definition(
        family=stack.cluster,
        cpu="1024",
        memory="2048",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        containerDefinitions=[
            {"name": name, "image": image, "stopTimeout": 30} for name, image in images.items()
        ],
    )
    ec2 = stack.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    ecs.create_service(
        cluster=stack.cluster,
        serviceName=stack.cluster,
        taskDefinition=stack.cluster,
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration={
            "awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}
        },
    )
    return ecs


def running(ecs: Any, stack: Stack) -> set[str]:
    """The tags of what the service is told to run."""
    service = ecs.describe_services(cluster=stack.cluster, services=[stack.cluster])["services"][0]
    task = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    return {each["image"].rpartition(":")[2] for each in task["containerDefinitions"]}


class Rollout:
    """Plays ECS's part in describe_services, which moto leaves at "in progress" for ever."""

    def __init__(self, real: Any, states: list[str]) -> None:
        self._real = real
        self._states = states

    def __call__(self, ecs: Any, stack: Stack) -> dict[str, Any]:
        service: dict[str, Any] = self._real(ecs, stack)
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        done = state == "COMPLETED"
        primary = {
            "status": "PRIMARY",
            "taskDefinition": service["taskDefinition"],
            "rolloutState": state,
            "rolloutStateReason": "tasks failed to start",
            "desiredCount": 2,
            "runningCount": 2 if done else 0,
        }
        return service | {"deployments": [primary]}


def play(monkeypatch: pytest.MonkeyPatch, *states: str) -> None:
    monkeypatch.setattr(module, "_service", Rollout(module._service, list(states)))


def test_a_deployment_becomes_stable(
    service: Any, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, "IN_PROGRESS", "IN_PROGRESS", "COMPLETED")
    shown: list[str] = []
    deploy(stack, NEW, poll_s=0, report=shown.append)
    assert running(service, stack) == {NEW}
    assert shown[-1] == "draft: 2/2 tasks, completed"
    definition = service.describe_task_definition(taskDefinition=stack.cluster)["taskDefinition"]
    assert {each["stopTimeout"] for each in definition["containerDefinitions"]} == {30}


def test_a_failed_deployment_is_rolled_back(
    service: Any, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, "IN_PROGRESS", "IN_PROGRESS", "FAILED")
    with pytest.raises(
        DeploymentFailed, match=r"tasks failed to start; the service is back at draft"
    ):
        deploy(stack, NEW, poll_s=0, report=lambda line: None)
    assert running(service, stack) == {OLD}


def test_a_deployment_that_takes_too_long_is_rolled_back(
    service: Any, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, "IN_PROGRESS")
    with pytest.raises(DeploymentFailed, match="not stable after 0 s"):
        deploy(stack, NEW, timeout_s=0, poll_s=0, report=lambda line: None)
    assert running(service, stack) == {OLD}


def test_a_rollback_is_the_deployment_of_an_older_release(
    service: Any, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    play(monkeypatch, "COMPLETED")
    deploy(stack, NEW, poll_s=0, report=lambda line: None)
    assert module.main(["--env", "prod", "--version", "0.1.0"]) == 0
    assert running(service, stack) == {OLD}
    assert f"draft-prod runs {OLD}" in capsys.readouterr().out


def test_a_release_that_was_never_pushed_changes_nothing(service: Any, stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match="the registry has no draft-prod/torchserve:9"):
        deploy(stack, "9.9.9-ccccccc")
    assert running(service, stack) == {OLD}


@pytest.mark.parametrize("release", ["", "latest", "0.1.0", "0.1.0-xyz"])
def test_a_release_has_a_revision(stack: Stack, release: str) -> None:
    with pytest.raises(ConfigurationError, match="is no release; `make push` prints one"):
        find_images(stack, release)


def test_no_such_version(service: Any, stack: Stack) -> None:
    with pytest.raises(ConfigurationError, match=r"no image of version 3\.0\.0"):
        newest_of_version(stack, "3.0.0")


def test_the_wrong_region_is_suspected(
    service: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert module.main(["--env", "prod", "--release", NEW]) == 1
    assert "draft-prod/torchserve" in capsys.readouterr().err


def test_a_dry_run_changes_nothing(
    service: Any, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("DRY_RUN", "1")
    assert module.main(["--env", "prod", "--release", NEW]) == 0
    assert f"service draft-prod in us-west-2 gets {NEW}" in capsys.readouterr().out
    assert running(service, stack) == {OLD}


def test_status_shows_what_runs(service: Any, stack: Stack) -> None:
    from infrastructure.operations.status import report

    text = "\n".join(report(stack))
    assert "draft-prod in us-west-2: ACTIVE, 0 of 2 tasks running" in text
    assert f"primary  {OLD}" in text
    assert "releases in the registry: 2" in text
    assert "alarms: 0 of 0" in text


def test_status_without_a_service(stack: Stack) -> None:
    from infrastructure.operations.status import report

    stack.client("ecs").create_cluster(clusterName=stack.cluster)
    with pytest.raises(ConfigurationError, match="there is no service draft-prod in us-west-2"):
        list(report(stack))
