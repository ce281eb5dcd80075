"""Profiles of the clients: what to set in each client program, and the checks of such a profile.

A module for each program holds what it reads, the profile that is written for it, and the findings
about a profile that somebody else has written.
"""
