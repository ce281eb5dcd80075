"""The HTTP API: routes and endpoints."""
