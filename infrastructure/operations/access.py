"""What boto3 says when AWS cannot be asked, or refuses, in the operator's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import botocore.exceptions

from infrastructure.operations.errors import AccessError, OperationError

_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "ExpiredToken",
        "ExpiredTokenException",
        "SignatureDoesNotMatch",
    }
)


@contextmanager
def access(doing: str) -> Iterator[None]:
    """Turn boto3's ways of saying no into AccessError with what was being done.

    Other errors of AWS pass as OperationError with AWS's own words.
    """
    try:
        yield
    except botocore.exceptions.NoCredentialsError:
        raise AccessError(
            f"{doing}: there are no AWS credentials; run `aws configure` or set AWS_PROFILE"
        ) from None
    except botocore.exceptions.NoRegionError:
        raise AccessError(f"{doing}: there is no region; set AWS_REGION") from None
    except botocore.exceptions.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        message = error.response.get("Error", {}).get("Message", str(error))
        kind = AccessError if code in _DENIED else OperationError
        raise kind(f"{doing}: {message} ({code})") from None
    except botocore.exceptions.BotoCoreError as error:
        raise AccessError(f"{doing}: {error}") from None
