"""Checkpoints of a run: when they are written, which are kept, and which one a run goes on from.

    step-00000300/              permanent: every epoch or N steps, kept
    step-00000341-ephemeral/    every some minutes and at a stop; the two newest are kept
        state.safetensors       weights, their average, optimizer, random states
        state.json              sampler, config, data, and the sha256 of the tensors; written last
    latest.json                 names the newest; written when all else is

Nothing is pickled. A run goes on only from a checkpoint of its own config, data and features; a
checkpoint that is damaged is passed over for the one before it, and said.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from training.loop import Snapshot
from training.storage import Missing, Storage

FORMAT = 1
LATEST = "latest.json"
STATE = "state.json"
TENSORS = "state.safetensors"
KEPT_EPHEMERAL = 2


class CheckpointRefused(Exception):
    """A checkpoint of another run; the message names every difference."""


class CheckpointsDamaged(Exception):
    """There are checkpoints, and none of them can be read."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When checkpoints are due. Raises ValueError for intervals that are none."""

    permanent_steps: int
    """Steps between checkpoints that are kept."""
    ephemeral_minutes: float = 5.0
    """Minutes between those that are replaced; 0 for none."""
    ephemeral_steps: int = 0
    """Steps between them, in addition; 0 for none."""

    def __post_init__(self) -> None:
        if self.permanent_steps < 1:
            raise ValueError(f"permanent_steps must be at least 1, not {self.permanent_steps}")
        for name in ("ephemeral_minutes", "ephemeral_steps"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, but is {getattr(self, name)}")


@dataclass(slots=True)
class Checkpoints:
    """The checkpoints of one run. Methods raise StorageError when the place fails.

    Args:
        identity: what must be the same for a run to go on: a JSON object.
        last_step: its checkpoint is kept, too.
        warn: told of damaged checkpoints.
    """

    storage: Storage
    policy: Policy
    identity: Mapping[str, Any]
    last_step: int
    warn: Callable[[str], None]
    _written_at: float = field(default_factory=time.monotonic, init=False)

    def due(self, step: int) -> bool:
        """Whether one is to be written after this step."""
        policy = self.policy
        waited = time.monotonic() - self._written_at
        return (
            step % policy.permanent_steps == 0
            or (policy.ephemeral_steps > 0 and step % policy.ephemeral_steps == 0)
            or (policy.ephemeral_minutes > 0 and waited >= 60 * policy.ephemeral_minutes)
        )

    def write(self, snapshot: Snapshot) -> str:
        """Store a snapshot, then drop ephemeral ones that are not needed any more; its name."""
        step = snapshot.step
        permanent = step % self.policy.permanent_steps == 0 or step == self.last_step
        name = f"step-{step:08d}" + ("" if permanent else "-ephemeral")
        payload = save_tensors(dict(snapshot.tensors))
        state = {
            "format": FORMAT,
            "step": step,
            "tensors_sha256": hashlib.sha256(payload).hexdigest(),
            "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "sampler": snapshot.sampler,
            **self.identity,
        }
        self.storage.put(f"{name}/{TENSORS}", payload)
        self.storage.put(f"{name}/{STATE}", _json(state))
        self.storage.put(LATEST, _json({"checkpoint": name, "step": step}))
        for old in [each for each in self._found() if each.endswith("-ephemeral")][KEPT_EPHEMERAL:]:
            self.storage.delete(old)
        self._written_at = time.monotonic()
        return name

    def newest(self) -> str | None:
        """The newest checkpoint that is whole; None when there is none at all.

        Raises CheckpointRefused when it is of another run, and CheckpointsDamaged when there are
        checkpoints and all of them are damaged.
        """
        candidates = list(self._candidates())
        for name in candidates:
            try:
                state, _ = self._read(name)
            except (Missing, ValueError) as error:
                self.warn(
                    f"checkpoint {name} in {self.storage.address} is damaged ({error}); "
                    "trying the one before it"
                )
                continue
            self._require_same_run(state)
            return name
        if candidates:
            raise CheckpointsDamaged(
                f"{self.storage.address}: none of its {len(candidates)} checkpoints can be read; "
                "--fresh starts over"
            )
        return None

    def read(self, name: str) -> Snapshot:
        """The snapshot of that name. Raises ValueError or Missing when it is damaged."""
        state, payload = self._read(name)
        try:
            tensors = load_tensors(payload)
        except SafetensorError as error:
            raise ValueError(str(error)) from None
        return Snapshot(state["step"], tensors, state["sampler"])

    def clear(self) -> None:
        """Remove all checkpoints, and the pointer first."""
        self.storage.delete(LATEST)
        for name in self._found():
            self.storage.delete(name)

    def _candidates(self) -> Iterator[str]:
        """From the one that `latest.json` names downwards; what is newer was not finished."""
        found = self._found()
        latest = found[0] if found else None
        try:
            latest = str(json.loads(self.storage.get(LATEST))["checkpoint"])
        except Missing:
            if found:
                self.warn(f"{self.storage.address} has no {LATEST}; taking the newest checkpoint")
        except (ValueError, KeyError, TypeError) as error:
            self.warn(f"{LATEST} in {self.storage.address} is damaged ({error})")
        if latest is not None and latest not in found:
            self.warn(f"checkpoint {latest}, which {LATEST} names, is gone")
        for name in found:
            if latest is None or _step(name) <= _step(latest):
                yield name

    def _found(self) -> list[str]:
        """Names of the checkpoints, the newest first."""
        folders = {name.partition("/")[0] for name in self.storage.names() if "/" in name}
        return sorted((each for each in folders if each.startswith("step-")), reverse=True)

    def _read(self, name: str) -> tuple[dict[str, Any], bytes]:
        state = json.loads(self.storage.get(f"{name}/{STATE}"))
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise ValueError(f"{STATE} is not of format {FORMAT}")
        payload = self.storage.get(f"{name}/{TENSORS}")
        if hashlib.sha256(payload).hexdigest() != state.get("tensors_sha256"):
            raise ValueError(f"{TENSORS} is not the file that {STATE} describes")
        return state, payload

    def _require_same_run(self, state: Mapping[str, Any]) -> None:
        then = {name: state.get(name) for name in self.identity}
        # Through JSON, as the checkpoint went: lists for tuples.
        found = list(differences(then, json.loads(_json(self.identity))))
        # A checksum over all of the data says nothing where a single difference is named.
        found = [each for each in found if not each.startswith("data.sha256 ")] or found
        if found:
            raise CheckpointRefused(
                f"{self.storage.address} holds a run with another set-up: {'; '.join(found)}. "
                "Go on with the old values, choose another --output, or start over with --fresh"
            )


def differences(then: Any, now: Any, path: str = "") -> Iterator[str]:
    """Sentences on where two JSON values differ."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted(then.keys() | now.keys()):
            inner = f"{path}.{key}" if path else key
            if key not in now:
                yield f"{inner} was part of it and is not now"
            elif key not in then:
                yield f"{inner} was not part of it"
            else:
                yield from differences(then[key], now[key], inner)
    elif then != now:
        yield f"{path} was {_short(then)}, now {_short(now)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _step(name: str) -> int:
    digits = name.removeprefix("step-").removesuffix("-ephemeral")
    return int(digits) if digits.isdecimal() else -1


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
