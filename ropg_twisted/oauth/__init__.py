"""OAuth2 and OpenID Connect: parsing requests, authenticating clients, signing tokens."""
