"""Servers that do the work of the daemon, each as somebody else would write it."""
