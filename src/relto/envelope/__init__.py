"""What makes bytes provable and closed: signatures, Merkle trees, sealing. Bytes in, bytes out, no custody of keys."""
