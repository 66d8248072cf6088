"""Run in an unpacked archive: load it as a TorchServe worker does, and answer one pick.

`package_mar` starts this file in a process of its own whose only sources are the archive and the
installed packages. It imports nothing from this repository. The exit code is 0 when the archive
works; otherwise the traceback says what is wrong.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

REQUEST: dict[str, list[Any]] = {
    "pack": [
        {"name": "Trial Bear", "mana_cost": "{1}{G}", "type": "Creature — Bear", "power": 2},
        {"name": "Trial Bolt", "mana_cost": "{R}", "type": "Instant", "rarity": "common"},
    ],
    "pool": ["Forest"],
}


def load(folder: Path, metrics_config: str) -> Any:
    """Return the service that TorchServe's own loader makes of the archive in `folder`."""
    from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
    from ts.model_loader import TsModelLoader

    manifest = json.loads((folder / "MAR-INF" / "MANIFEST.json").read_bytes())
    handler = manifest["model"]["handler"]
    # TorchServe hides an ImportError in the handler behind a search for a built-in handler of
    # that name; importing it first shows the real one.
    importlib.import_module(handler.removesuffix(".py"))
    for name in ("handler", "model"):
        origin = Path(str(importlib.import_module(name).__file__)).resolve()
        assert origin.is_relative_to(folder), f"{name} was imported from {origin}"
    metrics = MetricsCacheYamlImpl(config_file_path=metrics_config)
    metrics.initialize_cache()
    metrics.model_name = "draft"
    return TsModelLoader().load("draft", str(folder), handler, None, 1, None, True, metrics)


def answer(service: Any) -> dict[str, Any]:
    """Send one request through the handler, as the worker's loop does; return its reply."""
    headers, data, ids = service.retrieve_data_for_inference(
        [
            {
                "requestId": b"trial",
                "parameters": [
                    {
                        "name": "body",
                        "contentType": "application/json",
                        "value": bytearray(json.dumps(REQUEST).encode()),
                    }
                ],
                "headers": [{"name": b"content-type", "value": b"application/json"}],
            }
        ]
    )
    context = service.context
    context.request_ids = context.metrics.request_ids = ids
    context.request_processor = headers
    (reply,) = service._entry_point(data, context)
    status, _ = context.get_response_status(0)
    assert status == 200, f"the reply has status {status}: {reply!r}"
    document: dict[str, Any] = json.loads(reply)
    return document


def main() -> None:
    folder = Path.cwd().resolve()
    sys.path.insert(0, str(folder))
    probabilities = answer(load(folder, sys.argv[1]))["pick_probabilities"]
    assert len(probabilities) == len(REQUEST["pack"]), probabilities
    assert abs(sum(probabilities) - 1) < 1e-4, probabilities


if __name__ == "__main__":
    main()
