"""The HTTP server: twisted.web with limits on requests and connections, and with TLS."""
