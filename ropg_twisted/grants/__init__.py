"""Handlers for the OAuth2 grants of the token endpoint."""
