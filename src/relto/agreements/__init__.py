"""Agreements: what was signed, read into values, and compiled to the policy that decides."""
