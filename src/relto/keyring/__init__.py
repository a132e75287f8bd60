"""Custody of a party's private keys: where they lie, who may read them, and the TLS certificates they issue."""
