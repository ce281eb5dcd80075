"""The tests. Run them with ``make test``."""

import os
from typing import Final

from hypothesis import HealthCheck, settings

# The suite must say the same every time; the long profile looks for what it has not seen yet.
settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# For the Pythons beside the first: the same tests, with fewer examples.
settings.register_profile("brief", settings.get_profile("suite"), max_examples=15)
settings.register_profile(
    "long", settings.get_profile("suite"), derandomize=False, max_examples=20000
)
_PROFILE: Final = os.environ.get("HYPOTHESIS_PROFILE", "suite")
settings.load_profile(_PROFILE)

FIRST_PYTHON_ONLY: Final = "runs on the first Python only" if _PROFILE == "brief" else None
"""Reason to skip a long test whose result does not depend on the version of Python."""
