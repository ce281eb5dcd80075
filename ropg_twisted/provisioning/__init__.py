"""Files for those who set up other programs: Authentik, and the clients of the daemon."""
