"""Tests of the profiles of clients."""
