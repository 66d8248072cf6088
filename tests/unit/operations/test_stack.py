from __future__ import annotations

import pytest

from infrastructure.operations.access import access
from infrastructure.operations.errors import AccessError, ConfigurationError, OperationError
from infrastructure.operations.stack import Stack


def test_an_environment_names_everything(stack: Stack) -> None:
    assert (stack.cluster, stack.region) == ("draft-prod", "us-west-2")
    assert stack.repository("gateway") == "draft-prod/gateway"
    assert stack.log_group("gateway") == "/draft-prod/gateway"
    assert stack.queue("gpu1") == "draft-prod-gpu1"


def test_the_region_can_be_set() -> None:
    assert Stack.of("dev", {"AWS_REGION": "eu-west-1"}).region == "eu-west-1"


@pytest.mark.parametrize("name", ["", "nowhere", "../prod"])
def test_unknown_environments_are_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match="there are dev, prod"):
        Stack.of(name or "")


def test_the_bucket_is_found_by_its_name(stack: Stack) -> None:
    s3 = stack.client("s3")
    where = {"LocationConstraint": stack.region}
    for name in ("draft-prod-20261125", "draft-prod-logs", "draft-dev-20261125", "another"):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    assert stack.bucket() == "draft-prod-20261125"
    s3.create_bucket(Bucket="draft-prod-20261126", CreateBucketConfiguration=where)
    with pytest.raises(ConfigurationError, match="draft-prod-20261125, draft-prod-20261126"):
        stack.bucket()


def test_without_a_bucket_the_account_is_doubted(stack: Stack) -> None:
    with pytest.raises(
        ConfigurationError, match="but there is none: was `make apply ENV=prod` run"
    ):
        stack.bucket()


def test_no_credentials(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessError, match=r"looking for the bucket: there are no AWS credentials"):
        stack.bucket()


def test_no_connection(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(AccessError, match="Could not connect"):
        stack.bucket()


def test_what_aws_refuses_keeps_its_words(stack: Stack) -> None:
    with pytest.raises(OperationError, match=r"asking: .*\(NoSuchBucket\)"), access("asking"):
        stack.client("s3").get_bucket_versioning(Bucket="missing")
