"""Lines between real nodes that fail in every way that lines do."""
