"""What an operator sees of this program."""
