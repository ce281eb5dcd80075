"""The OAuth2 provider of the sandbox."""
