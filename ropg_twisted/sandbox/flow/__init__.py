"""Flows of the sandbox, and their executor."""
