"""The whole life of a stack on moto: apply, read back, plan nothing, change everything, plan
nothing, destroy, find nothing.

What no test here can show: throttling, quotas and WAF rules at work, machines being taken away,
tasks running. moto stores what it is told and enforces nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from infrastructure.limits import load_limits
from infrastructure.operations.stack import Stack

from . import policy
from .aws import CREDENTIALS, PROVIDER, moto
from .conftest import RELEASE, Terraform, stage

STACK = Stack("prod", "us-west-2", "draft-prod")
UNPROTECTED = {"protected": "false"}
CHANGED = UNPROTECTED | {
    "release": "0.2.0-fedcba9",
    "task": "{ cpu = 4096, memory = 8192 }",
    "tasks": "{ min = 3, max = 12, cpu_percent = 60, requests_per_min = 12000 }",
    "api_keys": '["first-client","second-client"]',
    "countries": '["US","CA","DE"]',
    "bot_control": "true",
    "log_days": "90",
    "flow_log_days": "7",
    "deregistration_s": "30",
    "images_kept": "5",
    "checkpoint_days": "10",
    "old_version_days": "30",
    "interface_endpoints": '["logs"]',
    "monthly_budget_usd": "500",
    "latency_p99_ms": "300",
    "training": "{ machines = 2, attempts = 3, timeout_s = 7200 }",
}


def client(name: str) -> Any:
    return boto3.client(name, region_name=STACK.region)


@pytest.fixture(scope="module")
def aws(needs_terraform: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    """An account in which the stack was applied once."""
    folder = tmp_path_factory.mktemp("life")
    with moto(folder / "moto.log") as url, pytest.MonkeyPatch.context() as patch:
        env = CREDENTIALS | {"AWS_ENDPOINT_URL": url}
        for name, value in env.items():
            patch.setenv(name, value)
        terraform = stage(folder, PROVIDER, **env)
        variables = terraform.variables("prod", **UNPROTECTED)
        terraform.run("apply", "-input=false", "-auto-approve", "-no-color", *variables)
        yield terraform


def expect_no_changes(terraform: Terraform, values: dict[str, str]) -> None:
    arguments = terraform.variables("prod", **values)
    done = terraform.run(
        "plan", "-input=false", "-detailed-exitcode", "-no-color", *arguments, accept=(0, 2)
    )
    assert done.returncode == 0, done.stdout[-6000:]


def test_nothing_to_do_after_an_apply(aws: Terraform) -> None:
    expect_no_changes(aws, UNPROTECTED)


def test_network(aws: Terraform) -> None:
    """PARITY row 11: a VPC over two zones, private and public subnets, one NAT gateway."""
    ec2 = client("ec2")
    vpc = next(v for v in ec2.describe_vpcs()["Vpcs"] if not v["IsDefault"])
    assert vpc["CidrBlock"] == "10.0.0.0/16"
    own = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    subnets = ec2.describe_subnets(Filters=own)["Subnets"]
    assert sorted(each["CidrBlock"] for each in subnets) == [
        "10.0.0.0/24",
        "10.0.1.0/24",
        "10.0.100.0/24",
        "10.0.101.0/24",
    ]
    assert {each["AvailabilityZone"] for each in subnets} == {"us-west-2a", "us-west-2b"}
    assert not any(each["MapPublicIpOnLaunch"] for each in subnets)
    gateways = ec2.describe_nat_gateways(Filter=own)["NatGateways"]
    assert len(gateways) == 1


def test_only_the_front_door_leads_in(aws: Terraform) -> None:
    """PARITY row 15: load balancers have listeners, and are reachable only through the API."""
    elb, ec2 = client("elbv2"), client("ec2")
    balancers = {b["Type"]: b for b in elb.describe_load_balancers()["LoadBalancers"]}
    assert {kind: b["Scheme"] for kind, b in balancers.items()} == {
        "application": "internal",
        "network": "internal",
    }
    groups = {g["GroupId"]: g for g in ec2.describe_security_groups()["SecurityGroups"]}

    def sources(balancer: dict[str, Any]) -> list[str]:
        return [
            pair["GroupId"]
            for group in balancer["SecurityGroups"]
            for rule in groups[group]["IpPermissions"]
            for pair in rule["UserIdGroupPairs"]
        ]

    assert sources(balancers["network"]) == []
    assert sources(balancers["application"]) == balancers["network"]["SecurityGroups"]
    for balancer in balancers.values():
        arn = balancer["LoadBalancerArn"]
        assert elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]
    paths = {
        group["TargetType"]: group["HealthCheckPath"]
        for group in elb.describe_target_groups()["TargetGroups"]
    }
    assert paths == {"ip": "/health", "alb": "/health"}


def test_images(aws: Terraform) -> None:
    """PARITY row 12: scanned, immutable, expiring."""
    ecr = client("ecr")
    found = {r["repositoryName"]: r for r in ecr.describe_repositories()["repositories"]}
    assert found.keys() == {STACK.repository(n) for n in ("gateway", "torchserve", "training")}
    for name, repository in found.items():
        assert repository["imageTagMutability"] == "IMMUTABLE"
        assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
        rules = json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"])
        assert rules["rules"]


def test_service(aws: Terraform) -> None:
    """PARITY row 13: cluster with insights, 2 vCPU and 4 GB, two tasks, roles, logs, circuit
    breaker.
    """
    ecs = client("ecs")
    cluster = ecs.describe_clusters(clusters=[STACK.cluster], include=["SETTINGS"])["clusters"][0]
    assert {"name": "containerInsights", "value": "enabled"} in cluster["settings"]
    service = ecs.describe_services(cluster=STACK.cluster, services=[STACK.cluster])["services"][0]
    assert (service["desiredCount"], service["launchType"]) == (2, "FARGATE")
    assert service["deploymentConfiguration"]["deploymentCircuitBreaker"] == {
        "enable": True,
        "rollback": True,
    }
    task = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    assert (task["cpu"], task["memory"], task["networkMode"]) == ("2048", "4096", "awsvpc")
    assert task["executionRoleArn"] != task["taskRoleArn"]
    containers = {each["name"]: each for each in task["containerDefinitions"]}
    assert containers.keys() == {"gateway", "torchserve"}
    for name, container in containers.items():
        assert container["image"].endswith(f"{STACK.repository(name)}:{RELEASE}")
        assert container["logConfiguration"]["options"]["awslogs-group"] == STACK.log_group(name)
        assert container["stopTimeout"] == load_limits(env={}).gateway.drain_s + 10
    assert containers["gateway"]["dependsOn"] == [
        {"containerName": "torchserve", "condition": "HEALTHY"}
    ]
    shared = [each["mountPoints"][0]["containerPath"] for each in containers.values()]
    assert shared == ["/tmp", "/tmp"]


def test_containers_are_confined(aws: Terraform) -> None:
    """The one policy that a plan cannot be asked for: the definitions are known after the apply."""
    task = client("ecs").describe_task_definition(taskDefinition=STACK.cluster)["taskDefinition"]

    def plan(containers: list[dict[str, Any]]) -> dict[str, Any]:
        values = {"container_definitions": json.dumps(containers)}
        resource = {"type": "aws_ecs_task_definition", "address": "task", "values": values}
        return {"planned_values": {"root_module": {"resources": [resource]}}}

    containers = task["containerDefinitions"]
    assert list(policy.containers_are_confined(plan(containers))) == []
    loose = [{"name": each["name"]} for each in containers]
    assert len(list(policy.containers_are_confined(plan(loose)))) == 8


def test_autoscaling(aws: Terraform) -> None:
    """PARITY row 14: two to ten tasks, CPU 70 %, and requests per target."""
    scaling = client("application-autoscaling")
    target = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"][0]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 10)
    policies = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    values = {
        each["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"][
            "PredefinedMetricType"
        ]: each["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
        for each in policies
    }
    assert values == {"ECSServiceAverageCPUUtilization": 70.0, "ALBRequestCountPerTarget": 30000.0}


def test_api_gateway(aws: Terraform) -> None:
    """PARITY row 8: throttling, usage plan, API keys; the caller's address cannot be forged."""
    api, limits = client("apigateway"), load_limits(env={})
    rest = api.get_rest_apis()["items"][0]
    assert rest["endpointConfiguration"]["types"] == ["REGIONAL"]
    plan = api.get_usage_plans()["items"][0]
    assert plan["throttle"] == {
        "rateLimit": limits.usage_plan.requests_per_s,
        "burstLimit": limits.usage_plan.burst,
    }
    assert plan["quota"]["limit"] == limits.usage_plan.requests_per_day
    assert plan["quota"]["period"] == "DAY"
    keys = api.get_usage_plan_keys(usagePlanId=plan["id"])["items"]
    assert [key["name"] for key in keys] == ["draft-prod-first-client"]
    stage = api.get_stages(restApiId=rest["id"])["item"][0]
    pick = stage["methodSettings"]["api/v1/draft/pick/POST"]
    assert pick["throttlingRateLimit"] == limits.api_gateway.requests_per_s
    assert pick["throttlingBurstLimit"] == limits.api_gateway.burst
    resources = api.get_resources(restApiId=rest["id"], limit=500)["items"]
    open_paths = set()
    for resource in resources:
        for method in resource.get("resourceMethods", {}):
            asked = api.get_method(
                restApiId=rest["id"], resourceId=resource["id"], httpMethod=method
            )
            integration = asked["methodIntegration"]
            assert integration["requestParameters"] == {
                "integration.request.header.X-Draft-Client-Address": "context.identity.sourceIp"
            }
            assert integration["uri"].endswith(resource["path"])
            if not asked["apiKeyRequired"]:
                open_paths.add((method, resource["path"]))
    assert {path for method, path in open_paths if method != "OPTIONS"} == {"/health"}


def test_web_acl(aws: Terraform) -> None:
    """PARITY row 9: on the stage; the wide rate rule first; 429 with Retry-After."""
    waf, limits = client("wafv2"), load_limits(env={})
    summary = waf.list_web_acls(Scope="REGIONAL")["WebACLs"][0]
    acl = waf.get_web_acl(Name=summary["Name"], Scope="REGIONAL", Id=summary["Id"])["WebACL"]
    rules = sorted(acl["Rules"], key=lambda rule: rule["Priority"])
    rates = [r for r in rules if "RateBasedStatement" in r["Statement"]]
    assert [r["Statement"]["RateBasedStatement"]["Limit"] for r in rates] == [
        limits.waf.requests_per_ip,
        limits.waf.picks_per_ip,
    ]
    for rule in rates:
        answer = rule["Action"]["Block"]["CustomResponse"]
        assert answer["ResponseCode"] == 429
        assert [header["Name"] for header in answer["ResponseHeaders"]] == ["Retry-After"]
        body = json.loads(acl["CustomResponseBodies"][answer["CustomResponseBodyKey"]]["Content"])
        assert (body["status"], body["code"]) == (429, "rate_limited")
    api = client("apigateway").get_rest_apis()["items"][0]
    stage = f"arn:aws:apigateway:{STACK.region}::/restapis/{api['id']}/stages/prod"
    assert waf.get_web_acl_for_resource(ResourceArn=stage)["WebACL"]["Id"] == summary["Id"]


def test_bucket(aws: Terraform) -> None:
    """PARITY row 16: versioned, encrypted, private, with a life cycle."""
    s3, bucket = client("s3"), STACK.bucket()
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert {rule["ID"] for rule in rules} == {
        "unfinished-uploads",
        "old-versions",
        "checkpoints",
        "data",
    }


def test_training(aws: Terraform) -> None:
    """PARITY row 17: spot machines of the guide's types; only a lost machine and exit 75 are
    retried.
    """
    batch = client("batch")
    environments = batch.describe_compute_environments()["computeEnvironments"]
    types = {kind for e in environments for kind in e["computeResources"]["instanceTypes"]}
    assert types == {"g5.xlarge", "p3.2xlarge", "g5.12xlarge", "p3.8xlarge"}
    assert {e["computeResources"]["type"] for e in environments} == {"SPOT"}
    assert {e["computeResources"]["minvCpus"] for e in environments} == {0}
    definitions = batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"]
    by_name = {each["jobDefinitionName"]: each for each in definitions}
    assert by_name.keys() == {STACK.queue(size) for size in ("gpu1", "p3", "gpu4")}
    job = by_name[STACK.queue("gpu1")]
    assert job["retryStrategy"]["attempts"] == 5
    rules = job["retryStrategy"]["evaluateOnExit"]
    assert [rule["action"].upper() for rule in rules] == ["RETRY", "RETRY", "EXIT"]
    assert rules[1]["onExitCode"] == "75"
    assert job["timeout"] == {"attemptDurationSeconds": 14400}
    told = {each["name"]: each["value"] for each in job["containerProperties"]["environment"]}
    assert told["DRAFTS_URL"] == f"s3://{STACK.bucket()}/data/17lands"
    assert told["GPUS"] == "1"


def test_outputs(aws: Terraform) -> None:
    """PARITY row 19: the guide's outputs under its names."""
    outputs = json.loads(aws.run("output", "-json").stdout)
    assert {"api_endpoint", "alb_dns", "ecr_repository_url"} <= outputs.keys()
    assert outputs["api_endpoint"]["value"].endswith(".amazonaws.com/prod")
    assert outputs["api_keys"]["sensitive"]


def test_alarms_and_budget(aws: Terraform) -> None:
    names = {
        alarm["AlarmName"]
        for alarm in client("cloudwatch").describe_alarms()["MetricAlarms"]
        if alarm["AlarmName"].startswith("draft-prod-")
    }
    assert {f"draft-prod-{name}" for name in ("no-healthy-task", "errors", "latency")} <= names
    budgets = client("budgets").describe_budgets(AccountId="123456789012")["Budgets"]
    assert [budget["BudgetLimit"]["Amount"] for budget in budgets] == ["400"]


def test_every_knob_can_be_turned_and_the_stack_destroyed(aws: Terraform) -> None:
    """Last: it changes the stack of the tests above, and takes it away."""
    variables = aws.variables("prod", **CHANGED)
    aws.run("apply", "-input=false", "-auto-approve", "-no-color", *variables)
    expect_no_changes(aws, CHANGED)
    target = client("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")
    assert target["ScalableTargets"][0]["MaxCapacity"] == 12
    keys = client("apigateway").get_api_keys()["items"]
    assert {key["name"] for key in keys} == {"draft-prod-first-client", "draft-prod-second-client"}
    aws.run("destroy", "-input=false", "-auto-approve", "-no-color", *variables)
    assert client("apigateway").get_rest_apis()["items"] == []
    assert client("elbv2").describe_load_balancers()["LoadBalancers"] == []
    assert client("wafv2").list_web_acls(Scope="REGIONAL")["WebACLs"] == []
    assert client("s3").list_buckets()["Buckets"] == []
    assert client("ecr").describe_repositories()["repositories"] == []
    assert client("batch").describe_job_queues()["jobQueues"] == []
    roles = [role["RoleName"] for role in client("iam").list_roles()["Roles"]]
    assert [name for name in roles if name.startswith("draft-prod")] == []
    services = client("ecs").describe_services(cluster=STACK.cluster, services=[STACK.cluster])
    assert [s["status"] for s in services["services"] if s["status"] == "ACTIVE"] == []
