"""A shell that outlives the launcher by a moment, to leave nothing behind.

The launcher can be killed with SIGKILL, which it cannot handle. Java would serve on as an orphan,
its workers (which notice a lost Java only when they are idle) with it, and the temporary folder
would stay. The guard holds one end of a pipe: when the launcher ends, however it ends, the pipe
closes, and the guard kills the server's process groups and removes the folder. An orderly stop ends
through the same lines, so they run every time and not only in an emergency.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

# dash knows no `kill -KILL -- -group`; this spelling every shell knows.
# Each line of its input names all the process groups to end, so the last one counts; the end of
# the input is the end of the launcher.
_SCRIPT = """
groups=
while read -r line; do groups=$line; done
for group in $groups; do kill -9 "-$group" 2> /dev/null; done
rm -rf -- "$1" 2> /dev/null || { sleep 1; rm -rf -- "$1"; }
"""
_END_TIMEOUT_S = 30


class Guard:
    """Owns a folder and, once told, process groups; all are gone after `close`."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "draft-guard", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # A session of its own: Ctrl-C and a closed terminal must not reach it.
            start_new_session=True,
        )

    def watch(self, *process_groups: int) -> None:
        """Take charge of these process groups, and no longer of those named before."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{' '.join(map(str, process_groups))}\n".encode())
        self._process.stdin.flush()

    def close(self) -> None:
        """Kill what is left of the process groups, remove the folder, and wait for all."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_END_TIMEOUT_S)
