"""What the write half costs, measured beside its peers in one run: ``python -m benchmarks``."""
