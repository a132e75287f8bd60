"""The verbs that join the parts: ingest, share, receive, answer, audit; and agree and pair, by which rules come in."""
