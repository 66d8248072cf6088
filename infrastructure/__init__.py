"""Running the archive: finding Java, checking the archive, starting and stopping TorchServe.

Nothing here imports torch; only `predict` touches `model`, and only when no server listens.
"""
