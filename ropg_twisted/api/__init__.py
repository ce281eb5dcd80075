"""Routes: which URL does what."""
