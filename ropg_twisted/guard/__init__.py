"""Who may ask, how often, and how much of it reaches Authentik."""
