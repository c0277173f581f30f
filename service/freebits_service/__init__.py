"""freebits: the hub."""
