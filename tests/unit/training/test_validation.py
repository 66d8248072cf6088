"""Calibration after training."""

from __future__ import annotations

import pytest
import torch

from training.metrics import Scores, calibration_error
from training.validation import fit_temperature


def test_temperature_restores_calibration() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 8, generator=generator) * 1.5
    picks = torch.multinomial(torch.softmax(logits, 1), 1, generator=generator)
    taken = torch.zeros_like(logits, dtype=torch.bool).scatter(1, picks, True)
    overconfident = Scores(logits * 2.5, taken)
    factor = fit_temperature([overconfident])
    assert factor == pytest.approx(1 / 2.5, rel=0.05)
    assert calibration_error(overconfident) > 0.15
    assert calibration_error(Scores(logits * 2.5 * factor, taken)) < 0.03
