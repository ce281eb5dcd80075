"""Tests of log, audit log and metrics."""
