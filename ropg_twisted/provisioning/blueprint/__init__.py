"""Authentik blueprints: the flow, the application and the outpost of a daemon, as YAML."""
