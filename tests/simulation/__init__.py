"""Simulation of outages behind Authentik. Run with ``python -m tests.simulation``."""
