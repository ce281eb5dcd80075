"""The daemon under load, with faults. Run with ``python -m tests.soak``."""
