"""Equivalent forms of a model: revisions that workers make of others, each with a report."""
