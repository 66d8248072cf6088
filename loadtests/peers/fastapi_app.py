"""The design of the deployment guide, as a fair opponent.

Run by `uvicorn loadtests.peers.fastapi_app:app`: FastAPI with pydantic validation in one process;
every request extracts the features of all its cards, pads them to 15 and 45, and makes one forward
pass of the same network with the same weights. The guide's bugs are not reproduced: masks are right
and an empty pool is finite. As in the guide the endpoint is a coroutine that computes on the event
loop, which is the fastest way for work that holds one core anyway.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import torch
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from model import Card as ModelCard
from model import load_checkpoint
from model.cards import PACK_MAX, POOL_MAX
from model.collate import collate_features

CHECKPOINT = load_checkpoint(Path(__file__).resolve().parents[2] / "model" / "weights")
EXTRACTOR = CHECKPOINT.extractor
MODEL = CHECKPOINT.model
WIDTH = EXTRACTOR.config.input_dim

app = FastAPI(title="MTG RL Draft API")


class Card(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    mana_cost: str = ""
    type: str = ""
    power: int | float | str | None = None
    toughness: int | float | str | None = None
    loyalty: int | float | str | None = None
    keywords: list[str] = Field(default_factory=list, max_length=32)
    rarity: str | None = None
    oracle_text: str = Field(default="", max_length=4000)
    set: str | None = None

    def features(self) -> np.ndarray:
        return EXTRACTOR.extract(msgspec.convert(self.model_dump(), ModelCard))


class PickRequest(BaseModel):
    pack: list[Card] = Field(min_length=1, max_length=PACK_MAX)
    pool: list[Card] = Field(default_factory=list, max_length=POOL_MAX)
    pack_number: int | None = None
    pick_number: int | None = None


class PickResponse(BaseModel):
    recommended_pick: int
    pick_probabilities: list[float]
    confidence: float
    latency_ms: float


def features(cards: list[Card]) -> np.ndarray:
    if not cards:
        return np.zeros((0, WIDTH), np.float32)
    return np.stack([card.features() for card in cards])


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/api/v1/draft/pick", response_model=PickResponse)
async def pick(request: PickRequest) -> PickResponse:
    started = time.perf_counter()
    batch = collate_features(
        [features(request.pack)], [features(request.pool)], pack_slots=PACK_MAX, pool_slots=POOL_MAX
    )
    with torch.inference_mode():
        logits, _ = MODEL(*batch)
        shares = torch.softmax(logits[0], dim=-1)[: len(request.pack)].tolist()
    best = int(np.argmax(shares))
    return PickResponse(
        recommended_pick=best,
        pick_probabilities=shares,
        confidence=shares[best],
        latency_ms=(time.perf_counter() - started) * 1000,
    )
