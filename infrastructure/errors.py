"""Everything that can keep the server from starting, as one exception tree.

    StartError
    ├── SettingsError          an environment variable has a value that cannot be used
    ├── PortError              a port is taken or may not be opened
    ├── JavaError              no Java, or a Java that is too old
    ├── DiskFullError          no room for the archive and the server's files
    ├── ArchiveError           the archive cannot be served
    │   ├── ArchiveNotFound        no such file, bucket or key
    │   ├── ArchiveUnreadable      no permission, no credentials, no connection
    │   ├── ArchiveCorrupt         not an archive, truncated, members missing or damaged
    │   └── ChecksumMismatch       the sha256 is missing, malformed or different
    ├── ServerError            TorchServe ended early, refused the model or never became ready
    └── NginxError             no nginx, one too old, or one that refuses its configuration

`str(error)` is what the operator reads: what is wrong, with which value, and how to mend it.
"""

from __future__ import annotations

import errno

# EDQUOT is what a full quota gives where a full disk gives ENOSPC; EFBIG comes from a file-size
# limit. The operator's remedy is the same: more room, or another folder.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StartError(Exception):
    """The server cannot start (or go on); the message says why."""


class SettingsError(StartError):
    """An environment variable holds a value that cannot be used."""


class PortError(StartError):
    """A port is taken, or may not be opened."""


class JavaError(StartError):
    """No usable Java."""


class DiskFullError(StartError):
    """No room for the archive and the server's files."""


class ArchiveError(StartError):
    """The archive cannot be served."""


class ArchiveNotFound(ArchiveError):
    """There is no such file, bucket or key."""


class ArchiveUnreadable(ArchiveError):
    """The archive may be there, but cannot be read: permission, credentials, connection."""


class ArchiveCorrupt(ArchiveError):
    """Not an archive, truncated, or with damaged or missing members."""


class ChecksumMismatch(ArchiveError):
    """The sha256 of the archive is missing, malformed or not the expected one."""


class ServerError(StartError):
    """TorchServe ended early, refused the model, or never became ready."""


class NginxError(StartError):
    """nginx is missing, too old, refuses its configuration, or ended by itself."""


def is_disk_full(error: OSError) -> bool:
    """Tell whether `error` means that nothing more can be written there."""
    return error.errno in _NO_ROOM
