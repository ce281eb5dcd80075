"""Tests of ``ropg_twisted/status/``."""
