"""A moto server that a Terraform apply can be run against: `python moto_aws.py --port N`.

moto 5.2 lacks two actions and drops a dozen fields that the AWS provider reads back, so an apply
would stop and every later plan would show changes that are moto's own. Each patch below adds one of
them; it stores what was sent and decides nothing.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from moto.apigateway.models import Integration, Stage
from moto.apigateway.responses import APIGatewayResponse
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.batch.models import BatchBackend
from moto.budgets.responses import BudgetsResponse
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ec2.utils import parse_user_data
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.elbv2.responses import ELBV2Response

_NO_CONTENT = "{}"


def add_autoscaling_tags() -> None:
    """ListTagsForResource and TagResource of Application Auto Scaling: missing."""
    tags: dict[str, dict[str, str]] = {}
    register = ApplicationAutoScalingResponse.register_scalable_target

    def register_scalable_target(self: Any) -> str:
        answer: str = register(self)
        arn = json.loads(answer)["ScalableTargetARN"]
        tags.setdefault(arn, {}).update(self._get_param("Tags") or {})
        return answer

    def list_tags_for_resource(self: Any) -> str:
        return json.dumps({"Tags": tags.get(self._get_param("ResourceARN"), {})})

    def tag_resource(self: Any) -> str:
        tags.setdefault(self._get_param("ResourceARN"), {}).update(self._get_param("Tags") or {})
        return _NO_CONTENT

    ApplicationAutoScalingResponse.register_scalable_target = register_scalable_target
    ApplicationAutoScalingResponse.list_tags_for_resource = list_tags_for_resource
    ApplicationAutoScalingResponse.tag_resource = tag_resource


def add_budget_subscribers() -> None:
    """UpdateBudget, DescribeSubscribersForNotification and the tags of budgets: missing."""
    tags: dict[str, list[Any]] = {}
    create = BudgetsResponse.create_budget

    def create_budget(self: Any) -> Any:
        answer = create(self)
        tags[self._get_param("Budget")["BudgetName"]] = self._get_param("ResourceTags") or []
        return answer

    def update_budget(self: Any) -> str:
        new = self._get_param("NewBudget")
        budget = self.backend.budgets[self._get_param("AccountId")][new["BudgetName"]]
        budget.budget.update(new)
        return _NO_CONTENT

    def describe_subscribers_for_notification(self: Any) -> str:
        budgets = self.backend.budgets[self._get_param("AccountId")]
        budget = budgets.get(self._get_param("BudgetName"))
        wanted = dict(self._get_param("Notification"))
        wanted.pop("NotificationState", None)
        for notification in budget.notifications if budget else []:
            if wanted.items() <= notification.details.items():
                return json.dumps({"Subscribers": notification.subscribers})
        return json.dumps({"Subscribers": []})

    def list_tags_for_resource(self: Any) -> str:
        name = self._get_param("ResourceARN").rpartition("/")[2]
        return json.dumps({"ResourceTags": tags.get(name, [])})

    def tag_resource(self: Any) -> str:
        return _NO_CONTENT

    BudgetsResponse.create_budget = create_budget
    BudgetsResponse.update_budget = update_budget
    BudgetsResponse.describe_subscribers_for_notification = describe_subscribers_for_notification
    BudgetsResponse.list_tags_for_resource = list_tags_for_resource
    BudgetsResponse.tag_resource = tag_resource


def keep_integration_links() -> None:
    """An integration's connectionId, of its VPC link: dropped. UpdateIntegration: missing."""
    put = APIGatewayResponse.put_integration
    to_json = Integration.to_json

    def put_integration(self: Any) -> Any:
        answer = put(self)
        _, _, api, _, resource, _, method, *_ = self.path.split("/")
        integration = self.backend.get_integration(api, resource, method)
        integration.connection_id = self._get_param("connectionId")
        return answer

    def with_link(self: Any) -> dict[str, Any]:
        fields: dict[str, Any] = to_json(self)
        if getattr(self, "connection_id", None):
            fields["connectionId"] = self.connection_id
        return fields

    APIGatewayResponse.put_integration = put_integration
    Integration.to_json = with_link


def read_nested_method_settings() -> None:
    """Settings of a deeper method, such as /api/v1/stats/GET/metrics/enabled: lost."""
    apply = Stage.apply_operations

    def apply_operations(self: Any, patch_operations: list[dict[str, Any]]) -> Any:
        rest = []
        for operation in patch_operations:
            steps = operation["path"].strip("/").split("/")
            if operation["op"] == "replace" and len(steps) > 4:
                method, setting = "/".join(steps[:-2]), "/".join(steps[-2:])
                self._patch_method_setting(method, setting, operation["value"])
            elif (
                operation["op"] == "remove" and operation["path"].strip("/") in self.method_settings
            ):
                del self.method_settings[operation["path"].strip("/")]
            else:
                rest.append(operation)
        return apply(self, rest)

    Stage.apply_operations = apply_operations


def keep_service_fields() -> None:
    """Fields of an ECS service that CreateService drops, the circuit breaker among them."""
    create = EC2ContainerServiceResponse.create_service

    def create_service(self: Any) -> Any:
        answer = create(self)
        service = answer.result["service"]
        service.health_check_grace_period_seconds = self._get_param("healthCheckGracePeriodSeconds")
        service.deployment_configuration = self._get_param("deploymentConfiguration")
        service.availability_zone_rebalancing = (
            self._get_param("availabilityZoneRebalancing") or "DISABLED"
        )
        service.enable_execute_command = bool(self._get_param("enableExecuteCommand"))
        # Written as AWS writes it: moto would make Ecs of ecs.
        service.enableECSManagedTags = bool(self._get_param("enableECSManagedTags"))
        return answer

    EC2ContainerServiceResponse.create_service = create_service


def keep_private_link_enforcement() -> None:
    """Whether a network load balancer's security group binds PrivateLink, too: dropped."""
    field = "enforce_security_group_inbound_rules_on_private_link_traffic"
    parameter = "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"
    create, set_groups = ELBV2Response.create_load_balancer, ELBV2Response.set_security_groups

    def create_load_balancer(self: Any) -> Any:
        answer = create(self)
        balancer = answer.result["LoadBalancers"][0]
        if balancer.type == "network":
            setattr(balancer, field, "on")
        return answer

    def set_security_groups(self: Any) -> Any:
        answer = set_groups(self)
        if self._get_param(parameter):
            arn = self._get_param("LoadBalancerArn")
            setattr(self.elbv2_backend.load_balancers[arn], field, self._get_param(parameter))
        return answer

    ELBV2Response.create_load_balancer = create_load_balancer
    ELBV2Response.set_security_groups = set_security_groups


def describe_group_rules() -> None:
    """The description of a rule that names a security group instead of a range: not shown."""

    def description(rule: Any) -> str | None:
        found: str | None = rule.ip_range.get("Description")
        return found or rule.source_group.get("Description")

    SecurityGroupRule.description = property(description)


def separate_template_tags() -> None:
    """A launch template's own tags mix with its launch data; later versions lose user data."""
    create, create_version = (
        LaunchTemplates.create_launch_template,
        LaunchTemplates.create_launch_template_version,
    )

    def create_launch_template(self: Any) -> Any:
        answer = create(self)
        identifier = answer.result["LaunchTemplate"]["LaunchTemplateId"]
        data = self.ec2_backend.get_launch_template(identifier).versions[0].data
        specifications = data.get("TagSpecifications", [])
        data["TagSpecifications"] = [
            each for each in specifications if each["ResourceType"] != "launch-template"
        ]
        return answer

    def create_launch_template_version(self: Any) -> Any:
        answer = create_version(self)
        data = answer.result["LaunchTemplateVersion"]["LaunchTemplateData"]
        if data.get("UserData") is not None:
            data["UserData"] = parse_user_data(self._get_param("LaunchTemplateData.UserData"))
        return answer

    LaunchTemplates.create_launch_template = create_launch_template
    LaunchTemplates.create_launch_template_version = create_launch_template_version


def allow_service_linked_role() -> None:
    """AWS makes Batch's service-linked role by itself where no role is given; moto demands one."""
    create = BatchBackend.create_compute_environment
    name = "AWSServiceRoleForBatch"

    def create_compute_environment(self: Any, *args: Any, **fields: Any) -> Any:
        if not fields["service_role"]:
            if name not in {role.name for role in self.iam_backend.roles.values()}:
                self.iam_backend.create_role(
                    role_name=name,
                    assume_role_policy_document="{}",
                    path="/aws-service-role/batch.amazonaws.com/",
                    permissions_boundary=None,
                    description="",
                    tags=[],
                    max_session_duration="3600",
                )
            fields["service_role"] = self.iam_backend.get_role(name).arn
        return create(self, *args, **fields)

    BatchBackend.create_compute_environment = create_compute_environment


def resize_compute_environments() -> None:
    """UpdateComputeEnvironment: changes of the resources are dropped."""
    update = BatchBackend.update_compute_environment

    def update_compute_environment(self: Any, **fields: Any) -> tuple[str, str]:
        answer: tuple[str, str] = update(self, **fields)
        environment = self.get_compute_environment(fields["compute_environment_name"])
        environment.compute_resources.update(fields["compute_resources"] or {})
        return answer

    BatchBackend.update_compute_environment = update_compute_environment


def know_p3_machines() -> None:
    """moto's list of instance types lacks the family, which AWS offers in some regions."""
    for name, cpus in (("p3.2xlarge", 8), ("p3.8xlarge", 32)):
        like = INSTANCE_TYPES["g5.xlarge"]
        INSTANCE_TYPES.setdefault(
            name,
            like | {"InstanceType": name, "VCpuInfo": like["VCpuInfo"] | {"DefaultVCpus": cpus}},
        )


def patch() -> None:
    """Apply every patch."""
    add_autoscaling_tags()
    add_budget_subscribers()
    keep_integration_links()
    read_nested_method_settings()
    keep_service_fields()
    keep_private_link_enforcement()
    describe_group_rules()
    separate_template_tags()
    allow_service_linked_role()
    resize_compute_environments()
    know_p3_machines()


if __name__ == "__main__":
    from moto.server import main

    patch()
    main(sys.argv[1:])
