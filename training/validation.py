"""Figures of a learner on drafts it was not trained on, and the temperature fitted on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from training.corpus import Corpus, TrainingSet
from training.dataset import Split
from training.learner import Learner
from training.metrics import Scores, choice_nll, summarize, top_k
from training.scoring import score_picks

FIGURES = ("top1_unforced", "top1_all", "top3_unforced", "nll_unforced", "ece_unforced")


@torch.inference_mode()
def held_out_scores(
    learner: Learner,
    sets: Sequence[TrainingSet],
    split: Split | None,
    picks: int | None = None,
    between_sets: Callable[[], None] = lambda: None,
) -> list[Scores]:
    """Each set's scores on the drafts of the split (None: all), or on an even sample of `picks`."""
    scores = []
    for each in sets:
        between_sets()
        rows = each.dataset.rows(split)
        if picks is not None and len(rows) > picks:
            rows = rows[np.linspace(0, len(rows) - 1, picks).astype(np.int64)]
        vectors_XD, trained_X = learner.vectors(each), learner.trained(each)
        scores.append(score_picks(learner.model, vectors_XD, trained_X, each.dataset, rows))
    return scores


def validation_top1(learner: Learner, sets: Sequence[TrainingSet], picks: int) -> float:
    """Top-1 on unforced validation picks, averaged over the sets."""
    scores = held_out_scores(learner, sets, Split.VALIDATION, picks)
    unforced = [each.unforced() for each in scores]
    return float(np.mean([top_k(each, 1) for each in unforced if len(each.logits_NC)] or [0.0]))


def fit_temperature(scores: Sequence[Scores]) -> float:
    """The factor on the logits under which the picks are likeliest.

    Sets count alike. The likelihood is convex in the factor: a golden-section search over
    [0.2, 5] finds it to four digits.
    """
    held = [each.unforced() for each in scores]
    held = [each for each in held if len(each.logits_NC)]
    if not held:
        return 1.0

    def nll(log_factor: float) -> float:
        factor = math.exp(log_factor)
        means = [choice_nll(s.logits_NC.double() * factor, s.taken_NC).mean() for s in held]
        return float(torch.stack(means).mean())

    low, high = math.log(0.2), math.log(5.0)
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if nll(left) < nll(right) else (left, high)
    return math.exp((low + high) / 2)


def calibrate(
    learner: Learner,
    corpus: Corpus,
    unseen_factor: float,
    between_sets: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Fit the model's temperatures, and tell them.

    That of trained cards is fitted on validation drafts. That of unknown cards is fitted on the
    sets held out; without any, it is `unseen_factor`, which such a run has found.
    """
    buffer = learner.model.inverse_temperature
    buffer.fill_(1.0)
    factors = {
        "unseen": unseen_factor,
        "known": fit_temperature(
            held_out_scores(learner, corpus.sets, Split.VALIDATION, between_sets=between_sets)
        ),
    }
    if corpus.held_out:
        factors["unseen"] = fit_temperature(
            held_out_scores(learner, corpus.held_out, None, between_sets=between_sets)
        )
    buffer.copy_(torch.tensor([factors["unseen"], factors["known"]]))
    return factors


def measure(
    learner: Learner, corpus: Corpus, between_sets: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Figures by set and their means (sets count alike), as `meta.json` holds them.

    `held_out`: the test drafts of the sets trained on; `unseen`: all drafts of the sets kept out.
    A set without an unforced pick to measure on is left out.
    """
    metrics: dict[str, Any] = {}
    parts = (("held_out", corpus.sets, Split.TEST), ("unseen", corpus.held_out, None))
    for name, sets, split in parts:
        scores = held_out_scores(learner, sets, split, between_sets=between_sets)
        by_set = {
            each.name: summarize(score)
            for each, score in zip(sets, scores, strict=True)
            if len(score.unforced().logits_NC)
        }
        if by_set or name == "held_out":
            metrics[name] = {
                figure: float(np.mean([values[figure] for values in by_set.values()]))
                for figure in FIGURES
                if by_set
            }
            metrics[f"{name}_by_set"] = by_set
    return metrics
