"""Load on a running server: requests, peers to compare with, and the benchmark."""
