"""Processes that encode, verify, swap and collect."""
