"""The wire to other parties' nodes: mutual TLS with pinned partners, and requests whose answers are bounded."""
