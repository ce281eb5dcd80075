"""The settings of the daemon: their table, their sources, and their errors."""
