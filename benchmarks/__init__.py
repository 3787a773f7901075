"""What both halves cost, measured beside their peers in one run: ``python -m benchmarks``."""
