"""freebits: the client."""
