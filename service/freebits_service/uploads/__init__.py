"""Resumable upload sessions."""
