"""The HTTP side: requests in, JSON out."""
