"""Tests of the hardened web server."""
