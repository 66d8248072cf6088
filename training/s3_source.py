"""A file in S3, at s3://bucket/key. Credentials and endpoint are those boto3 finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from training.textfile import DataError
from training.transfer import (
    CHUNK,
    Answer,
    NotThereError,
    Part,
    Patience,
    TryAgainError,
    Version,
)

PASSING = frozenset({"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "503"})
ABSENT = frozenset({"NoSuchKey", "NoSuchBucket", "404"})


class S3Source:
    """One object. Raises DataError for an address that is none, or without credentials."""

    def __init__(self, url: str, patience: Patience) -> None:
        self.url = url
        self._bucket, _, self._key = url.removeprefix("s3://").partition("/")
        if not self._bucket or not self._key:
            raise DataError(f"{url}: write it as s3://bucket/key")
        # Imported here: half a second that downloads from the web need not pay.
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=patience.connect_timeout,
            read_timeout=patience.read_timeout,
            retries={"max_attempts": 1, "mode": "standard"},  # `transfer` repeats
        )
        with _s3_errors(url):
            self._client = boto3.session.Session().client("s3", config=config)

    @contextmanager
    def open(self, part: Part | None, known: Version | None) -> Iterator[Answer | None]:
        asked: dict[str, Any] = {"Bucket": self._bucket, "Key": self._key}
        if known is not None and known.etag:
            asked["IfNoneMatch"] = known.etag
        if part is not None and part.version.etag:
            asked |= {"IfMatch": part.version.etag, "Range": f"bytes={part.size}-"}
        else:
            # S3 keeps a checksum of the whole object, which boto3 compares while reading.
            asked["ChecksumMode"] = "ENABLED"
        with _s3_errors(self.url):
            answer = self._get(asked)
            if answer is None:
                yield None
                return
            with closing(answer["Body"]) as body:
                span = answer.get("ContentRange", "")
                total = int(span.rpartition("/")[2]) if span else answer["ContentLength"]
                offset = part.size if span and part is not None else 0
                version = Version(self.url, answer["ETag"])
                yield Answer(version, offset, total, body.iter_chunks(CHUNK))

    def _get(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            found: dict[str, Any] = self._client.get_object(**asked)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in ("304", "NotModified"):
                return None
            if code in ("PreconditionFailed", "412", "InvalidRange", "416"):
                rest = {k: v for k, v in asked.items() if k not in ("IfMatch", "Range")}
                return self._get(rest | {"ChecksumMode": "ENABLED"})
            raise
        return found


@contextmanager
def _s3_errors(url: str) -> Iterator[None]:
    """Turn botocore's errors into ours."""
    from botocore import exceptions

    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise DataError(
            f"{url}: no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY, or run it where a role is given"
        ) from None
    except exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code in ABSENT:
            raise NotThereError(f"{url}: S3 answers {code}") from None
        if code in PASSING:
            raise TryAgainError(f"S3 answers {code}") from None
        if code in ("AccessDenied", "403"):
            raise NotThereError(
                f"{url}: access is denied: it is not there, or s3:GetObject on it is missing"
            ) from None
        raise DataError(f"{url}: S3 answers {code}") from None
    except exceptions.ParamValidationError:
        raise DataError(f"{url}: no valid bucket and key") from None
    except exceptions.FlexibleChecksumError as error:
        raise TryAgainError(f"it came damaged ({error})") from None
    except (
        exceptions.IncompleteReadError,
        exceptions.ResponseStreamingError,
        exceptions.HTTPClientError,
    ) as error:
        raise TryAgainError(f"it broke off ({str(error).split(': ')[-1]})") from None
    except exceptions.ConnectionError as error:
        raise TryAgainError(f"no answer ({error})") from None
    except exceptions.BotoCoreError as error:
        raise DataError(f"{url}: {error}") from None
