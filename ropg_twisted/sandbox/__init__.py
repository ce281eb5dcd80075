"""A stand-in for Authentik on loopback: flows and users are data, manners are the real ones.

It is a toy with published passwords. It must never stand where real people log in.
"""
