"""The files of a revision."""
