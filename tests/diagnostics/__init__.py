"""Tests of the findings, and of the checks of ``ropg check``."""
