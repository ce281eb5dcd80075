"""Client of Authentik: logins through its flow, its OAuth2 provider, its sessions."""
