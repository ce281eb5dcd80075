"""What OAuth2 and OpenID Connect clients see of this program."""
