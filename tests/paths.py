"""Places in a checkout."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parent
CHECKOUT = TESTS.parent

SHARED = CHECKOUT.parent / "shared"
"""Recordings of a real Authentik, beside the checkout where somebody has put them."""
