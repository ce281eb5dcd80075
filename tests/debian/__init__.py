"""The Debian package in a booted Debian: ``make debian-trial``."""
