"""Tests of the sandbox by itself."""
