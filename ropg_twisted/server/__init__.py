"""A hardened twisted.web server. It knows no OAuth."""
