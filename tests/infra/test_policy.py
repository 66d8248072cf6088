"""The plans of both environments obey every policy, and every policy finds a plan that does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from infrastructure.gateway.problems import PROBLEMS
from infrastructure.limits import load_limits
from infrastructure.operations.environments import ENVIRONMENTS

from . import policy
from .conftest import Terraform

Plan = dict[str, Any]


def first(plan: Plan, kind: str) -> dict[str, Any]:
    values: dict[str, Any] = next(policy.resources(plan, kind))["values"]
    return values


def rewrite(plan: Plan, kind: str, field: str, change: Callable[[Any], None]) -> None:
    """Change the JSON text in a field of the first resource of a type."""
    values = next(
        each["values"] for each in policy.resources(plan, kind) if each["values"].get(field)
    )
    content = json.loads(values[field])
    change(content)
    values[field] = json.dumps(content)


def common_rules(plan: Plan) -> dict[str, Any]:
    return next(
        found
        for found in policy.nested(first(plan, "aws_wafv2_web_acl")["rule"])
        if found.get("name") == "AWSManagedRulesCommonRuleSet" and "vendor_name" in found
    )


def swap_rates(plan: Plan) -> None:
    rates = [
        rule
        for rule in first(plan, "aws_wafv2_web_acl")["rule"]
        if rule["statement"][0].get("rate_based_statement")
    ]
    rates[0]["priority"], rates[1]["priority"] = rates[1]["priority"], rates[0]["priority"]


def link_to_an_alb(plan: Plan) -> None:
    for each in policy.resources(plan, "aws_lb"):
        each["values"]["load_balancer_type"] = "application"


def open_group(plan: Plan) -> None:
    rule = first(plan, "aws_vpc_security_group_ingress_rule")
    rule["cidr_ipv4"] = "0.0.0.0/0"


def block_country(plan: Plan) -> None:
    first(plan, "aws_wafv2_web_acl")["rule"][0]["statement"].append(
        {"geo_match_statement": [{"country_codes": ["US", "EU"]}]}
    )


def http_api(plan: Plan) -> None:
    plan["planned_values"]["root_module"].setdefault("resources", []).append(
        {"type": "aws_apigatewayv2_api", "address": "aws_apigatewayv2_api.x", "values": {}}
    )


def open_route(plan: Plan) -> None:
    for each in policy.resources(plan, "aws_api_gateway_method"):
        if each["index"] == "POST /api/v1/draft/pick":
            each["values"]["api_key_required"] = False


CONTAINERS = ("aws_ecs_task_definition", "container_definitions")

BROKEN: dict[str, tuple[Callable[[Plan], Any], str]] = {
    "public load balancer": (
        lambda plan: first(plan, "aws_lb").update(internal=False),
        "the load balancer is public",
    ),
    "open security group": (open_group, "lets the whole internet in"),
    "wildcard action": (
        lambda plan: rewrite(
            plan, "aws_iam_role_policy", "policy", lambda p: p["Statement"][0].update(Action="s3:*")
        ),
        "allows s3:*",
    ),
    "wildcard resource": (
        lambda plan: rewrite(
            plan,
            "aws_iam_role_policy",
            "policy",
            lambda p: p["Statement"][0].update(Action=["s3:GetObject"], Resource="*"),
        ),
        "on everything",
    ),
    "EU is no country": (block_country, "EU is no country"),
    "equal priorities": (
        lambda plan: [rule.update(priority=1) for rule in first(plan, "aws_wafv2_web_acl")["rule"]],
        "priorities repeat",
    ),
    "strict rate first": (swap_rates, "the other never fires"),
    "8 kB bodies": (
        lambda plan: common_rules(plan).update(rule_action_override=[]),
        "blocks bodies over 8 kB",
    ),
    "HTTP API": (http_api, "takes neither a web ACL nor a usage plan"),
    "VPC link to an ALB": (link_to_an_alb, "takes a network load balancer only"),
    "route without a key": (open_route, "needs no API key"),
    "no such task": (
        lambda plan: first(plan, "aws_ecs_task_definition").update(cpu="2048", memory="1024"),
        "Fargate has no 2048 CPU units with 1024 MiB",
    ),
    "no rollback": (
        lambda plan: first(plan, "aws_ecs_service").update(deployment_circuit_breaker=[]),
        "is not rolled back",
    ),
    "movable tags": (
        lambda plan: first(plan, "aws_ecr_repository").update(image_tag_mutability="MUTABLE"),
        "tags can be moved",
    ),
    "public bucket": (
        lambda plan: first(plan, "aws_s3_bucket_public_access_block").update(
            block_public_policy=False
        ),
        "may become public",
    ),
    "IMDSv1": (
        lambda plan: first(plan, "aws_launch_template")["metadata_options"][0].update(
            http_tokens="optional"
        ),
        "IMDSv1",
    ),
    "on-demand training": (
        lambda plan: first(plan, "aws_batch_compute_environment")["compute_resources"][0].update(
            type="EC2"
        ),
        "does not run on spot machines",
    ),
    "idle machines": (
        lambda plan: first(plan, "aws_batch_compute_environment")["compute_resources"][0].update(
            min_vcpus=4
        ),
        "while nothing is trained",
    ),
    "spot asked twice": (
        lambda plan: first(plan, "aws_launch_template").update(
            instance_market_options=[{"market_type": "spot"}]
        ),
        "asks for spot itself",
    ),
    "endless job": (
        lambda plan: first(plan, "aws_batch_job_definition").update(timeout=[]),
        "never ended",
    ),
    "every failure retried": (
        lambda plan: first(plan, "aws_batch_job_definition")["retry_strategy"][0].update(
            evaluate_on_exit=[]
        ),
        "is paid again",
    ),
    "logs for ever": (
        lambda plan: first(plan, "aws_cloudwatch_log_group").update(retention_in_days=0),
        "for ever",
    ),
}


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_plan_obeys(offline: Terraform, environment: str) -> None:
    assert policy.check(offline.plan(environment)) == []


def test_the_plan_with_every_toggle_obeys(offline: Terraform) -> None:
    plan = offline.plan(
        "prod",
        countries='["US","DE","GB"]',
        bot_control="true",
        interface_endpoints='["ecr.api","logs"]',
        zones="3",
    )
    assert policy.check(plan) == []
    (geo,) = policy.found(first(plan, "aws_wafv2_web_acl")["rule"], "country_codes")
    assert geo == ["DE", "GB", "US"]
    assert "AWSManagedRulesBotControlRuleSet" in managed_rules(plan)
    subnets = {each["values"]["cidr_block"] for each in policy.resources(plan, "aws_subnet")}
    assert len(subnets) == 6
    assert endpoints(plan) == {"s3", "ecr.api", "logs"}


def managed_rules(plan: Plan) -> set[str]:
    return {
        found["name"]
        for found in policy.nested(first(plan, "aws_wafv2_web_acl")["rule"])
        if "vendor_name" in found
    }


def endpoints(plan: Plan) -> set[str]:
    names = [each["values"]["service_name"] for each in policy.resources(plan, "aws_vpc_endpoint")]
    return {name.removeprefix("com.amazonaws.us-west-2.") for name in names}


def test_what_is_not_asked_for_is_not_there(offline: Terraform, production: Plan) -> None:
    """The switches off: no country rule, no bot control, no endpoint that is paid by the hour."""
    assert list(policy.found(first(production, "aws_wafv2_web_acl")["rule"], "country_codes")) == []
    assert "AWSManagedRulesBotControlRuleSet" not in managed_rules(production)
    assert endpoints(production) == {"s3"}
    small = offline.plan(
        "dev", training="{ enabled = false }", own_account_settings="false", flow_log_days="0"
    )
    kinds = {
        each["type"]
        for kind in ("aws_batch_job_queue", "aws_api_gateway_account", "aws_flow_log")
        for each in policy.resources(small, kind)
    }
    assert kinds == set()


LIMITS = json.loads((ENVIRONMENTS.parent.parent / "config" / "limits.json").read_text())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no file exists"),
        ("{", "jsondecode"),
        ("{}", "Unsupported attribute"),
        (json.dumps(LIMITS | {"usage_plan": LIMITS["usage_plan"] | {"burst": -1}}), "above 0"),
        (json.dumps(LIMITS | {"waf": LIMITS["waf"] | {"picks_window_s": 61}}), "60, 120, 300"),
        (json.dumps(LIMITS | {"waf": LIMITS["waf"] | {"picks_per_ip": 9}}), "no rate below 10"),
        (
            json.dumps(LIMITS | {"gateway": LIMITS["gateway"] | {"answer_timeout_s": 29}}),
            "waits 29 s at most",
        ),
    ],
    ids=["missing", "cut off", "empty", "negative", "window", "rate", "time-out"],
)
def test_limits_that_aws_would_refuse_stop_the_plan(
    offline: Terraform, text: str | None, message: str
) -> None:
    file = offline.folder.parent / "config" / "limits.json"
    kept = file.read_bytes()
    try:
        file.unlink()
        if text is not None:
            file.write_text(text)
        arguments = offline.variables("prod")
        done = offline.run("plan", "-input=false", "-no-color", *arguments, accept=(1,))
    finally:
        file.write_bytes(kept)
    assert message in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plan_is_found(production: Plan, name: str) -> None:
    damage, finding = BROKEN[name]
    plan = copy.deepcopy(production)
    assert not any(finding in found for found in policy.check(plan))
    damage(plan)
    assert any(finding in found for found in policy.check(plan)), policy.check(plan)


def test_every_rule_is_proven(production: Plan) -> None:
    """A rule that no broken plan sets off may be one that cannot find anything."""
    silent = set(policy.RULES)
    for damage, _ in BROKEN.values():
        plan = copy.deepcopy(production)
        damage(plan)
        silent -= {rule for rule in silent if list(rule(plan))}
    # Its JSON is known only after an apply: the life cycle test looks at it.
    assert {rule.__name__ for rule in silent} == {"containers_are_confined"}


def test_the_limits_reach_the_plan(production: Plan) -> None:
    """PARITY rows 8 and 9: the numbers are those of config/limits.json."""
    limits = load_limits(env={})
    usage = first(production, "aws_api_gateway_usage_plan")
    assert usage["throttle_settings"] == [
        {
            "burst_limit": limits.usage_plan.burst,
            "rate_limit": limits.usage_plan.requests_per_s,
        }
    ]
    assert usage["quota_settings"][0]["limit"] == limits.usage_plan.requests_per_day
    settings = {
        each["index"]: each["values"]["settings"][0]
        for each in policy.resources(production, "aws_api_gateway_method_settings")
    }
    pick = settings.pop("POST /api/v1/draft/pick")
    assert pick["throttling_rate_limit"] == limits.api_gateway.requests_per_s
    assert pick["throttling_burst_limit"] == limits.api_gateway.burst
    assert {each["throttling_rate_limit"] for each in settings.values()} == {
        limits.api_gateway.other_requests_per_s
    }
    rates = {
        (statement["limit"], statement["evaluation_window_sec"])
        for rule in first(production, "aws_wafv2_web_acl")["rule"]
        for statement in rule["statement"][0].get("rate_based_statement") or []
    }
    assert rates == {
        (limits.waf.requests_per_ip, limits.waf.requests_window_s),
        (limits.waf.picks_per_ip, limits.waf.picks_window_s),
    }


ONLY_AWS = {"quota_exceeded", "forbidden"}


def test_errors_of_aws_are_those_of_the_gateway(production: Plan) -> None:
    """A client that knows the gateway's codes knows what API Gateway and the firewall answer."""
    bodies = [
        json.loads(each["values"]["response_templates"]["application/json"])
        for each in policy.resources(production, "aws_api_gateway_gateway_response")
    ]
    bodies += [
        json.loads(each["content"])
        for each in first(production, "aws_wafv2_web_acl")["custom_response_body"]
    ]
    known = {problem.code: problem for problem in PROBLEMS}
    assert {body["code"] for body in bodies} - known.keys() == ONLY_AWS
    for body in bodies:
        assert list(body) == sorted(json.loads(PROBLEMS[0].body()))
        assert body["type"] == f"urn:draft:problem:{body['code']}"
        if body["code"] not in ONLY_AWS:
            problem = known[body["code"]]
            assert (body["status"], body["title"]) == (problem.status, problem.title)
