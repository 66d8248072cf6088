"""The names of a stack's parts. Terraform gives them; a test holds the two together.

An environment is a folder of `infrastructure/envs/`; its `terraform.tfvars` may set `name` and
`region`, and AWS_REGION wins over the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3

from infrastructure.operations.access import access
from infrastructure.operations.environments import VARIABLES, environment_folder
from infrastructure.operations.errors import ConfigurationError

_DEFAULTS = {"name": "draft", "region": "us-west-2"}
_SETTING = re.compile(r'^\s*(name|region|environment)\s*=\s*"([^"]*)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stack:
    """One environment of the service."""

    environment: str
    region: str
    prefix: str

    @classmethod
    def of(cls, environment: str, env: Mapping[str, str] = os.environ) -> Stack:
        """The stack of an environment. Raises ConfigurationError when there is no such folder."""
        file = environment_folder(environment) / VARIABLES
        found = dict(_SETTING.findall(file.read_text(encoding="utf-8")))
        values = _DEFAULTS | {"environment": environment} | found
        region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or values["region"]
        return cls(values["environment"], region, f"{values['name']}-{values['environment']}")

    @property
    def cluster(self) -> str:
        """Name of the ECS cluster, of the service, of the task family and of the web ACL."""
        return self.prefix

    def repository(self, container: str) -> str:
        """Name of an image's repository."""
        return f"{self.prefix}/{container}"

    def log_group(self, container: str) -> str:
        """Log group of a container, of `training` or of `api`."""
        return f"/{self.prefix}/{container}"

    @property
    def waf_log_group(self) -> str:
        """Log group of blocked requests."""
        return f"aws-waf-logs-{self.prefix}"

    def queue(self, size: str) -> str:
        """Name of a training queue and of its job definition."""
        return f"{self.prefix}-{size}"

    def client(self, service: str) -> Any:
        """A boto3 client in the stack's region, of the credentials that are set now."""
        return boto3.session.Session().client(service, region_name=self.region)

    def bucket(self) -> str:
        """Name of the bucket, whose end is random. Raises when there is none, or more than one."""
        with access("looking for the bucket"):
            pages = self.client("s3").get_paginator("list_buckets").paginate()
            names = [bucket["Name"] for page in pages for bucket in page.get("Buckets", [])]
        own: list[str] = [
            name for name in names if re.fullmatch(rf"{re.escape(self.prefix)}-[0-9]+", name)
        ]
        if len(own) != 1:
            found = ", ".join(own) or "none"
            raise ConfigurationError(
                f"there must be one bucket {self.prefix}-<digits>, but there is {found}: "
                f"was `make apply ENV={self.environment}` run in this account?"
            )
        return own[0]
