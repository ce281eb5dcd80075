"""The OAuth2 grants that the token endpoint answers."""
