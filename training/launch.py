"""torchrun with the exit code of its workers: `python -m training.launch --nproc-per-node=4 -- …`.

torchrun ends with 1 whatever its workers ended with, so whoever started it could not tell an
interruption, after which a run should be started again, from a mistake. What stands before `--` are
options of torchrun, after `--standalone`; what stands after it are those of `training.train`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from training.interruption import EXIT_INTERRUPTED


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    divider = given.index("--") if "--" in given else len(given)
    own, rest = given[:divider], given[divider + 1 :]
    try:
        torchrun.main(["--standalone", *own, "-m", "training.train", *rest])
    except SignalException:
        return EXIT_INTERRUPTED  # it waited for its workers, which were told to stop as well
    except ChildFailedError as error:
        codes = {failure.exitcode for failure in error.failures.values()}
        # Workers that were in order when another failed are stopped by torchrun.
        return EXIT_INTERRUPTED if EXIT_INTERRUPTED in codes else 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
