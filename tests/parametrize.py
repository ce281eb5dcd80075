"""Tests with a table: each row is a test of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

Rows = Mapping[str, tuple[Any, ...]]
"""The arguments of a test by the names of the rows."""


class _Tests:
    """Stands in a class for the tests of a table, and puts them there when the class is made."""

    def __init__(self, test: Callable[..., Any], rows: Rows) -> None:
        self._test = test
        self._rows = rows

    def __set_name__(self, owner: type, name: str) -> None:
        delattr(owner, name)
        for row, arguments in self._rows.items():
            method = f"{name}_{re.sub(r'[^0-9A-Za-z]+', '_', row).strip('_').lower()}"
            if method in vars(owner):
                raise TypeError(f"{owner.__qualname__} has two tests {method}")
            setattr(owner, method, _bind(self._test, method, arguments))


def parametrize(rows: Rows) -> Callable[[Callable[..., Any]], Any]:
    """Make a test for each row of a table.

    The test of the row "no header" of ``test_address`` is ``test_address_no_header``. Raises
    :exc:`TypeError` if two rows have the same name.
    """
    if not rows:
        raise TypeError("the table has no rows")
    return lambda test: _Tests(test, rows)


def _bind(test: Callable[..., Any], method: str, arguments: tuple[Any, ...]) -> Callable[..., Any]:
    @wraps(test)
    def bound(self: Any) -> Any:
        return test(self, *arguments)

    bound.__name__ = method
    return bound
