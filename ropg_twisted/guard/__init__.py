"""Guards around the password verifier: rate limits, caches and load limits."""
