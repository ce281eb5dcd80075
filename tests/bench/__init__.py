"""The daemon beside other servers, on the same work. Run with ``make bench``."""
