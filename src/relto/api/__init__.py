"""The faces of a node: the exchange with partners, and the pages for its own people."""
