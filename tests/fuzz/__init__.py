"""Hostile input for everything that reads what others send. Run with ``python -m tests.fuzz``."""
