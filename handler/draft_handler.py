"""The class TorchServe loads: it reads TorchServe's context and leaves the work to the stages.

TorchServe imports this file from the root of the extracted archive, so the imports are absolute,
and the file defines exactly one class.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ts.metrics.metric_type_enum import MetricTypes

from handler.batch_metrics import BatchMetrics
from handler.errors import InternalError
from handler.seen_cards import ShortWay
from handler.stages import Body, Reply, Ticket, answer, encode, problem_reply, read, short_way
from handler.worker_messages import shorten_messages
from model import PickRequest, Recommender
from model.features import FEATURE_SCHEMA_VERSION

logger = logging.getLogger(__name__)

STARTUP_ERROR_VARIABLE = "DRAFT_STARTUP_ERROR_FILE"
"""Names a file in which the launcher looks for the reason why a worker could not start."""

WARM_UP_PICK = PickRequest(pack=["Giant Growth", "Shock", "Opt"], pool=["Llanowar Elves"])


class DraftHandler:
    """TorchServe's contract: `initialize` once a worker, then `handle` once a batch."""

    def __init__(self) -> None:
        self.recommender: Recommender
        self.short_way: ShortWay
        self._metrics: BatchMetrics | None = None

    def initialize(self, context: Any) -> None:
        """Load the weights and answer one pick; raises when that fails, so nothing is served."""
        # One worker runs on each core: threads of its own would only fight over them.
        torch.set_num_threads(1)
        # oneDNN takes 14 us longer than torch's own kernel for the GELU of a batch of 16.
        torch.backends.mkldnn.set_flags(False)  # type: ignore[no-untyped-call]
        shorten_messages()
        # TorchServe logs two lines for every batch, one of them a metric that says less than ours;
        # each wakes the front end, which is 6 us of a request that takes 110.
        logging.getLogger().setLevel(logging.WARNING)
        try:
            folder = Path(context.system_properties["model_dir"])
            version = context.manifest["model"]["modelVersion"]
            self.recommender = Recommender.load(folder, version)
            self.short_way = short_way(self.recommender)
            self._warm_up()
            # What is loaded now lives as long as the worker. A full collection over it takes
            # 66 ms, in the middle of some batch; frozen, it is never looked at again.
            gc.collect()
            gc.freeze()
        except Exception as error:
            _report_startup_error(error)
            raise

    def handle(self, data: Sequence[Mapping[str, Any]], context: Any) -> list[Any]:
        """One reply for each request of the batch; no exception leaves."""
        started = time.perf_counter()
        if _is_describe(data, context):
            return [self.describe()]
        try:
            tickets = read(_bodies(data, context), self.short_way)
            replies = encode(tickets, answer(self.recommender, tickets, started))
        except Exception:
            logger.exception("a batch of %d requests failed", len(data))
            tickets = []
            replies = [problem_reply(InternalError("the batch could not be processed"))] * len(data)
        _send_headers(replies, context)
        self._report(tickets, len(data), time.perf_counter() - started, context)
        return [reply.body for reply in replies]

    def describe(self) -> dict[str, Any]:
        """What `GET /models/draft?customized=true` shows beside TorchServe's own fields."""
        meta = self.recommender.checkpoint.meta
        return {
            "version": self.recommender.version,
            "weights": {
                "version": meta["model_version"],
                "sha256": meta["weights_sha256"],
                "git_revision": meta.get("git_revision", "unknown"),
            },
            "feature_schema": {
                "version": FEATURE_SCHEMA_VERSION,
                "hash": self.recommender.extractor.schema_hash,
            },
            "cards": meta["cards"],
            "sets": meta["sets"],
            "metrics": meta["metrics"],
            "torch": torch.__version__,
        }

    def _warm_up(self) -> None:
        """Run a canned pick through the network; its answer must be a distribution."""
        response = self.recommender.recommend([WARM_UP_PICK])[0]
        self.recommender.index.take_unknown_count()
        total = sum(response.pick_probabilities)
        if len(response.ranking) != len(WARM_UP_PICK.pack) or abs(total - 1) > 1e-6:
            raise RuntimeError(f"the warm-up pick got probabilities that sum to {total}")

    def _report(self, tickets: Sequence[Any], requests: int, seconds: float, context: Any) -> None:
        """A few samples a batch for the metrics endpoint; they must never cost a reply."""
        picks = sum(len(ticket.picks) for ticket in tickets if isinstance(ticket, Ticket))
        try:
            if self._metrics is None:
                find = partial(_metric, context.metrics)
                self._metrics = BatchMetrics(find, (context.model_name, "Model"))
            samples = [
                ("draft_latency_seconds", seconds),
                ("draft_batch_size", requests),
                ("draft_picks_per_request", picks / requests),
            ]
            unknown = self.recommender.index.take_unknown_count()
            if unknown:
                samples.append(("draft_unknown_cards_total", unknown))
            self._metrics.report(samples)
        except Exception:
            logger.exception("metrics of a batch were lost")


def _metric(metrics: Any, name: str) -> Any:
    kind = MetricTypes.COUNTER if name.endswith("_total") else MetricTypes.HISTOGRAM
    return metrics.get_metric(name, kind)


def _is_describe(data: Sequence[Mapping[str, Any]], context: Any) -> bool:
    """Whether this is the front end's own question.

    It is marked by nothing but a header, which a client may send as well, so the question must
    also come alone and without a body. A client can do that, too, with a form that has no parts,
    but not without saying that it is a form; the question has no Content-Type.
    """
    return (
        len(data) == 1
        and not data[0]
        and context.get_request_header(0, "describe") == "True"
        and not any(key.lower() == "content-type" for key in context.get_all_request_header(0))
    )


def _bodies(data: Sequence[Mapping[str, Any]], context: Any) -> list[Body]:
    bodies = []
    for place, parts in enumerate(data):
        name = "body" if "body" in parts else "data"
        headers = context.get_all_request_header(place)
        part = headers.get(name)
        # TorchServe files the part's type under the part's name, where a client's header of
        # that name would replace it.
        if isinstance(part, Mapping):
            content_type = str(part.get("content-type") or "")
        else:
            content_type = next(
                (str(value) for key, value in headers.items() if key.lower() == "content-type"), ""
            )
        bodies.append(Body(parts.get(name), content_type))
    return bodies


def _send_headers(replies: Sequence[Reply], context: Any) -> None:
    for place, reply in enumerate(replies):
        context.set_response_status(reply.status, reply.phrase, place)
        context.set_response_content_type(place, reply.content_type)
        if reply.status == InternalError.status:
            # The gateway replaces every 500, since TorchServe's own are no problem bodies. It can
            # see which one is ours by this header, and repeats what stands in it.
            context.set_response_header(place, "X-Problem", reply.body.decode())


def _report_startup_error(error: Exception) -> None:
    path = os.environ.get(STARTUP_ERROR_VARIABLE)
    if not path:
        return
    try:
        Path(path).write_text(f"{type(error).__name__}: {error}\n", encoding="utf-8")
    except OSError:
        logger.exception("the reason for the failed start could not be written to %s", path)
