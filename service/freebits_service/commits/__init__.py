"""Making and listing commits."""
