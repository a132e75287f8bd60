"""Kinds of items. A kind is ``domain.noun``; a new domain is a TOML file here, not code."""
