"""The errors that the gateway answers itself, in the handler's form (RFC 9457).

Two of them have the code of an error of the handler's and mean the same: a form is refused before
TorchServe would take it apart, and a lost worker cannot answer for itself. A test holds the titles
of both to the handler's, and all codes to `config/openapi.yaml` and the README.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

PROBLEM_JSON = "application/problem+json"


@dataclass(frozen=True, slots=True)
class GatewayProblem:
    """One error: its HTTP status, its stable code, and what it tells people."""

    status: int
    code: str
    title: str
    detail: str

    def body(self, detail: str = "") -> str:
        """Return the body as JSON in one line, like the handler's."""
        return json.dumps(
            {
                "type": f"urn:draft:problem:{self.code}",
                "title": self.title,
                "status": self.status,
                "code": self.code,
                "detail": detail or self.detail,
                "path": "$",
            },
            separators=(",", ":"),
        )


PROBLEMS = (
    GatewayProblem(
        400,
        "malformed_request",
        "The request is not valid HTTP",
        "a header is malformed, or Host is missing",
    ),
    GatewayProblem(
        401,
        "missing_api_key",
        "An API key is required",
        "send your key in the header X-Api-Key",
    ),
    GatewayProblem(
        401,
        "unknown_api_key",
        "The API key is not known",
        "this server does not know the key in the header X-Api-Key",
    ),
    GatewayProblem(
        404,
        "unknown_route",
        "There is no such route",
        "the routes are POST /api/v1/draft/pick, POST /api/v1/draft/review, "
        "POST /predictions/draft, GET /health and GET /api/v1/stats",
    ),
    GatewayProblem(
        405,
        "method_not_allowed",
        "The route has other methods",
        "the header Allow names the methods of this route",
    ),
    GatewayProblem(
        413,
        "body_too_large",
        "The body is too large",
        "a body may have {body_bytes} bytes",
    ),
    GatewayProblem(
        414,
        "uri_too_long",
        "The address is too long",
        "path and query together may have {uri_bytes} bytes",
    ),
    GatewayProblem(
        415,
        "unsupported_media_type",
        "The body must be application/json",
        "send the pick as application/json, not as a form",
    ),
    GatewayProblem(
        429,
        "rate_limited",
        "Too many requests",
        "the limit for this route is used up: wait as long as Retry-After says",
    ),
    GatewayProblem(
        429,
        "too_many_in_flight",
        "Too many requests at the same time",
        "one address may have {requests_in_flight_per_ip} requests in flight",
    ),
    GatewayProblem(
        431,
        "headers_too_large",
        "The headers are too large",
        "a header may have {header_line_bytes} bytes, all of them {header_lines_bytes}",
    ),
    GatewayProblem(
        500,
        "internal_error",
        "The service failed on this request",
        "a worker was lost while it had this request: trying again may help",
    ),
    GatewayProblem(
        503,
        "not_ready",
        "No worker is ready",
        "the model is being loaded, or the server is about to stop: try again shortly",
    ),
    GatewayProblem(
        503,
        "overloaded",
        "Too many requests are waiting",
        "the queue is full: try again shortly",
    ),
    GatewayProblem(
        504,
        "timed_out",
        "The service did not answer in time",
        "no answer came within {answer_timeout_s} s",
    ),
)
