"""The checks of ``ropg check``, which find out what is wrong with an installation."""
