"""A TorchServe handler that does nothing: what is left is what TorchServe itself costs.

It answers every request with a constant of the size of a typical draft answer.
"""

import json
import logging

RANKING = [
    {"rank": rank, "index": rank - 1, "name": "Some Ordinary Card", "probability": 0.12345678}
    for rank in range(1, 9)
]
REPLY = json.dumps(
    {
        "recommended_pick": 0,
        "pick_probabilities": [0.12345678] * 8,
        "confidence": 0.12345678,
        "latency_ms": 1.234,
        "ranking": RANKING,
        "warnings": [],
        "model_version": "0.0.0",
    },
    separators=(",", ":"),
).encode()


class NoopHandler:
    def initialize(self, context):
        # As the draft handler does: no log lines for each batch.
        logging.getLogger().setLevel(logging.WARNING)

    def handle(self, data, context):
        for place in range(len(data)):
            context.set_response_content_type(place, "application/json")
        return [REPLY] * len(data)
