"""The release log that outsiders can check: C2SP tiles and signed checkpoints over RFC 6962 trees."""
