"""What neither Terraform, nor the provider, nor moto refuses, checked on a plan's JSON.

`check(plan)` takes `terraform show -json <plan>` and returns findings, one sentence each. Each rule
is a function of its own that yields sentences; a test breaks a plan for each and wants it found.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session

Plan = dict[str, Any]
Rule = Callable[[Plan], Iterator[str]]

ANYWHERE = frozenset({"0.0.0.0/0", "::/0"})
OPEN_METHODS = frozenset({"OPTIONS"})

# CPU units to memory in MiB: AWS, "Fargate task definition considerations".
FARGATE = {
    256: (512, 1024, 2048),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
    8192: range(16384, 61441, 4096),
    16384: range(32768, 122881, 8192),
}


def check(plan: Plan) -> list[str]:
    """All findings, sorted."""
    return sorted({finding for rule in RULES for finding in rule(plan)})


def resources(plan: Plan, kind: str = "") -> Iterator[dict[str, Any]]:
    """The planned resources of a type, or all; `values` holds their arguments."""

    def walk(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from module.get("resources", [])
        for child in module.get("child_modules", []):
            yield from walk(child)

    for resource in walk(plan["planned_values"]["root_module"]):
        # Left out where nothing is known before the apply.
        resource.setdefault("values", {})
        if not kind or resource["type"] == kind:
            yield resource


def configured(plan: Plan, kind: str) -> Iterator[dict[str, Any]]:
    """The resource blocks of a type, with their expressions."""

    def walk(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from module.get("resources", [])
        for call in module.get("module_calls", {}).values():
            yield from walk(call["module"])

    for resource in walk(plan["configuration"]["root_module"]):
        if resource["type"] == kind:
            yield resource


def nested(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a value, itself included."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from nested(each)
    elif isinstance(value, list):
        for each in value:
            yield from nested(each)


def found(value: Any, field: str) -> Iterator[Any]:
    """What a field holds, wherever it is set inside a value."""
    for each in nested(value):
        if each.get(field):
            yield each[field]


def load_balancers_are_internal(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_lb"):
        if each["values"].get("internal") is not True:
            yield f"{each['address']}: the load balancer is public"


def nothing_comes_in_from_anywhere(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_vpc_security_group_ingress_rule"):
        if ANYWHERE & {each["values"].get("cidr_ipv4"), each["values"].get("cidr_ipv6")}:
            yield f"{each['address']}: lets the whole internet in"
    for each in resources(plan, "aws_security_group"):
        for rule in each["values"].get("ingress") or []:
            if ANYWHERE & {*(rule.get("cidr_blocks") or []), *(rule.get("ipv6_cidr_blocks") or [])}:
                yield f"{each['address']}: lets the whole internet in"


def no_wildcards_on_wildcards(plan: Plan) -> Iterator[str]:
    for each in resources(plan):
        for field in ("policy", "assume_role_policy"):
            text = each["values"].get(field)
            if not text or each["type"] == "aws_ecr_lifecycle_policy":
                continue
            for statement in json.loads(text)["Statement"]:
                if statement["Effect"] != "Allow":
                    continue
                actions, targets = (
                    [value] if isinstance(value, str) else value
                    for value in (statement["Action"], statement.get("Resource", []))
                )
                if any("*" in action for action in actions):
                    yield f"{each['address']}: allows {', '.join(actions)}"
                if "*" in targets and actions != ["ecr:GetAuthorizationToken"]:
                    yield f"{each['address']}: allows {', '.join(actions)} on everything"


def countries_exist(plan: Plan) -> Iterator[str]:
    shapes = botocore.session.get_session().get_service_model("wafv2")
    known = set(shapes.shape_for("CountryCode").enum)  # type: ignore[attr-defined]
    for each in resources(plan, "aws_wafv2_web_acl"):
        for found in nested(each["values"].get("rule")):
            for code in found.get("country_codes") or []:
                if code not in known:
                    yield f"{each['address']}: {code} is no country"


def waf_rules_have_an_order(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_wafv2_web_acl"):
        rules = each["values"]["rule"]
        priorities = [rule["priority"] for rule in rules]
        if len(priorities) != len(set(priorities)):
            yield f"{each['address']}: priorities repeat: {sorted(priorities)}"
        rates = [
            (rule["priority"], statement["limit"] / statement["evaluation_window_sec"])
            for rule in rules
            for statement in rule["statement"][0].get("rate_based_statement") or []
        ]
        # Per second the wide rule allows more; behind the narrow one it would never see enough.
        allowed = [rate for _, rate in sorted(rates)]
        if allowed != sorted(allowed, reverse=True):
            yield f"{each['address']}: the stricter rate rule comes first, so the other never fires"


def body_rule_only_counts(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_wafv2_web_acl"):
        for group in nested(each["values"]["rule"]):
            if group.get("name") != "AWSManagedRulesCommonRuleSet" or "vendor_name" not in group:
                continue
            counted = [
                override["name"]
                for override in group.get("rule_action_override") or []
                if override["action_to_use"][0].get("count")
            ]
            if "SizeRestrictions_BODY" not in counted:
                yield f"{each['address']}: the common rule set blocks bodies over 8 kB"


def web_acl_guards_a_rest_stage(plan: Plan) -> Iterator[str]:
    if not list(resources(plan, "aws_wafv2_web_acl_association")):
        yield "no web ACL is associated with anything"
    for kind in ("aws_apigatewayv2_api", "aws_apigatewayv2_stage"):
        for each in resources(plan, kind):
            yield f"{each['address']}: an HTTP API takes neither a web ACL nor a usage plan"


def vpc_link_leads_to_a_network_balancer(plan: Plan) -> Iterator[str]:
    kinds = {
        each["name"]: each["values"].get("load_balancer_type") for each in resources(plan, "aws_lb")
    }
    for link in configured(plan, "aws_api_gateway_vpc_link"):
        for part in nested(link["expressions"].get("target_arns", {})):
            for reference in part.get("references", []):
                kind, _, rest = reference.partition(".")
                if kind == "aws_lb" and kinds.get(rest.partition(".")[0]) != "network":
                    yield f"{link['address']}: a REST VPC link takes a network load balancer only"


def routes_need_a_key(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_api_gateway_method"):
        values = each["values"]
        health = each.get("index", "").endswith(" /health")
        if not (values["api_key_required"] or health or values["http_method"] in OPEN_METHODS):
            yield f"{each['address']}: needs no API key"


def fargate_sells_the_size(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_ecs_task_definition"):
        cpu, memory = int(each["values"]["cpu"]), int(each["values"]["memory"])
        if memory not in FARGATE.get(cpu, ()):
            yield f"{each['address']}: Fargate has no {cpu} CPU units with {memory} MiB"


def containers_are_confined(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_ecs_task_definition"):
        text = each["values"].get("container_definitions")
        for container in json.loads(text) if text else []:
            name = f"{each['address']}: container {container['name']}"
            if container.get("readonlyRootFilesystem") is not True:
                yield f"{name} may write to its root"
            if container.get("user", "root").partition(":")[0] in ("", "0", "root"):
                yield f"{name} runs as root"
            if container.get("linuxParameters", {}).get("capabilities", {}).get("drop") != ["ALL"]:
                yield f"{name} keeps capabilities"
            if not container.get("healthCheck"):
                yield f"{name} has no health check"


def deployments_roll_back(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_ecs_service"):
        breaker = (each["values"].get("deployment_circuit_breaker") or [{}])[0]
        if not (breaker.get("enable") and breaker.get("rollback")):
            yield f"{each['address']}: a failed deployment is not rolled back"


def images_do_not_change(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_ecr_repository"):
        if each["values"]["image_tag_mutability"] != "IMMUTABLE":
            yield f"{each['address']}: tags can be moved"


def buckets_are_private(plan: Plan) -> Iterator[str]:
    blocks = list(resources(plan, "aws_s3_bucket_public_access_block"))
    if len(blocks) != len(list(resources(plan, "aws_s3_bucket"))):
        yield "a bucket has no public access block"
    for each in blocks:
        switches = ("acls", "policy")
        wanted = [f"block_public_{name}" for name in switches]
        wanted += ["ignore_public_acls", "restrict_public_buckets"]
        if not all(each["values"].get(name) for name in wanted):
            yield f"{each['address']}: the bucket may become public"


def machines_want_tokens(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_launch_template"):
        options = (each["values"].get("metadata_options") or [{}])[0]
        if options.get("http_tokens") != "required":
            yield f"{each['address']}: metadata can be read without a token (IMDSv1)"


def spot_is_asked_for_once(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_batch_compute_environment"):
        machine = each["values"]["compute_resources"][0]
        if machine["type"] != "SPOT":
            yield f"{each['address']}: training does not run on spot machines"
        if machine["min_vcpus"] != 0:
            yield f"{each['address']}: machines run, and are paid, while nothing is trained"
    for each in resources(plan, "aws_launch_template"):
        if each["values"].get("instance_market_options"):
            yield f"{each['address']}: asks for spot itself, which the compute environment does"


def jobs_end(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_batch_job_definition"):
        if not each["values"].get("timeout"):
            yield f"{each['address']}: a job that hangs is never ended"
        rules = each["values"]["retry_strategy"][0]["evaluate_on_exit"]
        if not rules or rules[-1]["action"].upper() != "EXIT":
            yield f"{each['address']}: a job that failed by itself is paid again"


def logs_expire(plan: Plan) -> Iterator[str]:
    for each in resources(plan, "aws_cloudwatch_log_group"):
        if not each["values"].get("retention_in_days"):
            yield f"{each['address']}: logs are kept, and paid, for ever"


RULES: tuple[Rule, ...] = (
    load_balancers_are_internal,
    nothing_comes_in_from_anywhere,
    no_wildcards_on_wildcards,
    countries_exist,
    waf_rules_have_an_order,
    body_rule_only_counts,
    web_acl_guards_a_rest_stage,
    vpc_link_leads_to_a_network_balancer,
    routes_need_a_key,
    fargate_sells_the_size,
    containers_are_confined,
    deployments_roll_back,
    images_do_not_change,
    buckets_are_private,
    machines_want_tokens,
    spot_is_asked_for_once,
    jobs_end,
    logs_expire,
)
