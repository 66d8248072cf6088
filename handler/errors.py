"""Every way a request can fail, each with one HTTP status and one stable code.

    DraftError
    ├── BadRequest (400)             the body cannot be read
    │   ├── EmptyBody                empty_body
    │   ├── InvalidUtf8              invalid_utf8
    │   ├── InvalidJson              invalid_json
    │   ├── NestedTooDeeply          nested_too_deeply
    │   └── DuplicateKey             duplicate_key
    ├── UnsupportedMediaType (415)   unsupported_media_type
    ├── Unprocessable (422)          the body can be read and is no pick request
    │   ├── NotAnObject              not_an_object
    │   ├── MissingField             missing_field
    │   ├── UnknownField             unknown_field
    │   ├── WrongType                wrong_type
    │   ├── WrongLength              wrong_length
    │   ├── OutOfRange               out_of_range
    │   ├── UnknownValue             unknown_value
    │   ├── MalformedManaCost        malformed_mana_cost
    │   ├── MalformedNumber          malformed_number
    │   └── InvalidRequest           invalid_request
    └── InternalError (500)          internal_error

Leaves carry a message for people, and `path`, the JSON path of what is wrong.
Bodies follow RFC 9457 (`application/problem+json`).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar

import msgspec

PROBLEM_JSON = "application/problem+json"


class Problem(msgspec.Struct, frozen=True):
    """The body of every error this service writes itself."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    path: str


class DraftError(Exception):
    """Base of all failures of a request. Only leaves are raised."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str, path: str = "$") -> None:
        super().__init__(detail)
        self.detail = detail
        self.path = path

    @property
    def phrase(self) -> str:
        """The reason phrase of the status line."""
        return HTTPStatus(self.status).phrase

    def problem(self) -> Problem:
        """The error as a problem body."""
        return Problem(
            f"urn:draft:problem:{self.code}",
            self.title,
            self.status,
            self.code,
            self.detail,
            self.path,
        )


class BadRequest(DraftError):
    """The body cannot be read."""

    status = 400


class EmptyBody(BadRequest):
    code = "empty_body"
    title = "The request has no body"


class InvalidUtf8(BadRequest):
    code = "invalid_utf8"
    title = "The body is not UTF-8"


class InvalidJson(BadRequest):
    code = "invalid_json"
    title = "The body is not JSON"


class NestedTooDeeply(BadRequest):
    code = "nested_too_deeply"
    title = "The body is nested too deeply"


class DuplicateKey(BadRequest):
    code = "duplicate_key"
    title = "An object has a key twice"


class UnsupportedMediaType(DraftError):
    status = 415
    code = "unsupported_media_type"
    title = "The body must be application/json"


class Unprocessable(DraftError):
    """The body can be read and is no pick request."""

    status = 422


class NotAnObject(Unprocessable):
    code = "not_an_object"
    title = "The body must be a JSON object"


class MissingField(Unprocessable):
    code = "missing_field"
    title = "A required field is missing"


class UnknownField(Unprocessable):
    code = "unknown_field"
    title = "A field is not part of the schema"


class WrongType(Unprocessable):
    code = "wrong_type"
    title = "A value has the wrong type"


class WrongLength(Unprocessable):
    code = "wrong_length"
    title = "A list or text is too short or too long"


class OutOfRange(Unprocessable):
    code = "out_of_range"
    title = "A number is out of range"


class UnknownValue(Unprocessable):
    code = "unknown_value"
    title = "A value is none of the allowed ones"


class MalformedManaCost(Unprocessable):
    code = "malformed_mana_cost"
    title = "A mana cost cannot be read"


class MalformedNumber(Unprocessable):
    code = "malformed_number"
    title = "Power, toughness or loyalty cannot be read"


class InvalidRequest(Unprocessable):
    code = "invalid_request"
    title = "The request does not match the schema"


class InternalError(DraftError):
    status = 500
    code = "internal_error"
    title = "The service failed on this request"
