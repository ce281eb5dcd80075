"""Flows of the sandbox, and the executor that walks them."""
