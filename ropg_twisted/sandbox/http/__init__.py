"""The HTTP side of the sandbox."""
