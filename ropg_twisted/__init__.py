"""Password grants (RFC 6749 section 4.3) checked against Authentik's own login flow."""

__version__ = "0.1.0"
