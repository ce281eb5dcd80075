"""Tests of ``ropg_twisted.provisioning``."""
