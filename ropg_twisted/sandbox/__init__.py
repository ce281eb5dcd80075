"""A stand-in for Authentik on loopback. Flows and users are data; responses are Authentik's own.

Its passwords are public. Never let real users log in to it.
"""
