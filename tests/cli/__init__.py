"""Tests of the ``ropg`` command."""
