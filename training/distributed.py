"""The processes of a run: one, or those that torchrun started.

    torchrun --standalone --nproc-per-node=4 -m training.train ...

Tensors on the CPU travel by gloo, those on a GPU by nccl. With one process nothing is set up and
every exchange is with oneself, so the loop has no second path.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from training.textfile import DataError

# Process 0 measures on held-out drafts and writes to S3 while the others wait.
PATIENCE = datetime.timedelta(hours=1)


class LostProcesses(Exception):
    """Another process of the run has ended; it says why."""


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among all of the run. Exchanges raise LostProcesses."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and talks."""
        return self.rank == 0

    def wait_for_all(self) -> None:
        if self.count > 1:
            with _exchange():
                dist.all_reduce(torch.zeros(()))  # on the CPU; dist.barrier() would use the GPU

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value, summed over the processes; the same bits in every process."""
        if self.count == 1:
            return [float(value) for value in values]
        total = torch.tensor(values, dtype=torch.float64)
        with _exchange():
            dist.all_reduce(total)
        return [float(value) for value in total]

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes, which have one shape, in the order of their ranks."""
        if self.count == 1:
            return [tensor]
        gathered = [torch.empty_like(tensor) for _ in range(self.count)]
        with _exchange():
            dist.all_gather(gathered, tensor)
        return gathered

    def share(self, text: str) -> str:
        """The first process's text, in every process."""
        if self.count == 1:
            return text
        content = torch.tensor(list(text.encode()), dtype=torch.uint8)
        size = torch.tensor([len(content)])
        with _exchange():
            dist.broadcast(size, 0)
            content = content if self.is_first else torch.empty(int(size), dtype=torch.uint8)
            dist.broadcast(content, 0)
        return bytes(content.numpy()).decode()

    def replicate(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module, whose gradients are averaged over the processes in every backward pass."""
        if self.count == 1:
            return module
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids)


@contextmanager
def _exchange() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise LostProcesses(f"another process of this run has ended ({reason})") from None


@contextmanager
def processes() -> Iterator[Processes]:
    """The processes that torchrun's environment tells of, connected until the block ends."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Processes(dist.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        dist.destroy_process_group()


def choose_device(wanted: str, local_rank: int = 0) -> torch.device:
    """`auto` is this process's own GPU, or the CPU where there is none.

    Raises DataError for a device that does not exist here.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise DataError(f"--device {wanted}: not a device; try auto, cpu or cuda") from None
    if device.type == "cuda":
        device = torch.device("cuda", local_rank if device.index is None else device.index)
        if not torch.cuda.is_available() or device.index >= torch.cuda.device_count():
            raise DataError(f"--device {wanted}: torch sees {_gpus()}")
        torch.cuda.set_device(device)
    elif device.type != "cpu":
        raise DataError(f"--device {wanted}: training runs on cpu or cuda")
    return device


def _gpus() -> str:
    if torch.version.cuda is None:
        return "no GPU: it was built for CPUs alone"
    return f"{torch.cuda.device_count()} GPUs"
