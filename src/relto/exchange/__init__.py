"""Between two nodes: messages, pages and the state of a stream. Bytes and values only, whoever carries them."""
