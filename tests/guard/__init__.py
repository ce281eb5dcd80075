"""Tests of what stands before Authentik: limits, caches, the circuit breaker."""
