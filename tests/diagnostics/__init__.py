"""Tests of the checks of ``ropg check``."""
