"""Repos and their refs."""
