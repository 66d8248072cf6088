"""The draft model as a library: card JSON -> features -> tensors -> scores -> ranked picks.

No AWS, no TorchServe, no command line, no global state.

    >>> from model import Card, PickRequest, Recommender
    >>> answer = Recommender.load("model/weights").recommend(
    ...     [PickRequest(pack=["Llanowar Elves", Card(name="Mine", mana_cost="{1}{G}")])]
    ... )[0]
"""

from model.card_table import CardTable, fold_name
from model.cards import Card, PickRequest, PickResponse
from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from model.encoder import SharedCardEncoder
from model.features import CardEncoderConfig, CardFeatureExtractor
from model.network import DraftModel, DraftModelConfig
from model.recommender import Recommender

__all__ = [
    "Card",
    "CardEncoderConfig",
    "CardFeatureExtractor",
    "CardTable",
    "Checkpoint",
    "CheckpointError",
    "DraftModel",
    "DraftModelConfig",
    "PickRequest",
    "PickResponse",
    "Recommender",
    "SharedCardEncoder",
    "fold_name",
    "load_checkpoint",
    "save_checkpoint",
]
