"""Letting go of what nobody needs."""
