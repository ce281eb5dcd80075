"""Ports for servers that a test starts as processes."""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import suppress

_ports = itertools.count(20_000 + os.getpid() * 401 % 12_000)
"""Candidates below the range that outgoing connections and port 0 take theirs from, and far from
those of a test run beside this one."""


def free_port() -> int:
    """A port that nobody listens on now, and that nobody is given by chance before it is used."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port := next(_ports)))
            return port
