"""Tests of the side that talks to Authentik."""
