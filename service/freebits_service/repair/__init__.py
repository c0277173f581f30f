"""Database against store: what fits together, what is damaged, what can be put right."""
