"""The client side of Authentik: logins through its flow, its provider, its sessions."""
