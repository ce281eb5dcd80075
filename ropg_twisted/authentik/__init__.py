"""What Authentik sees of this program."""
