"""Rows that say what work is wanted and how far it is; the truth behind the job engine."""
