"""Why an operation was refused or given up; nothing is left half-done.

    OperationError
    ├── ConfigurationError    a name, a file or a setting is missing or cannot be used
    ├── AccessError           no credentials, no permission, the wrong region, no connection
    ├── ReleaseExists         a release of that version is there already; it is never overwritten
    ├── ReleaseDamaged        an archive or a stored object is not what its checksum says
    └── DeploymentFailed      the service did not become stable; it runs what it ran before

`str(error)` is what the operator reads.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

_Arguments = ParamSpec("_Arguments")


class OperationError(Exception):
    """The operation was not done; the message says why."""


class ConfigurationError(OperationError):
    """Something the operator names or sets is missing or cannot be used."""


class AccessError(OperationError):
    """AWS cannot be asked, or refuses."""


class ReleaseExists(OperationError):
    """A release of that version is there already."""


class ReleaseDamaged(OperationError):
    """An archive is not what its checksum says."""


class DeploymentFailed(OperationError):
    """The service did not become stable with the new task definition."""


def told(main: Callable[_Arguments, int]) -> Callable[_Arguments, int]:
    """Let a program that is refused its operation end with 1 and the message on stderr."""

    @functools.wraps(main)
    def program(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except OperationError as error:
            print(f"draft: {error}", file=sys.stderr)
            return 1

    return program
