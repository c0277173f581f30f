"""Lossless codecs for checkpoints: what the bytes mean."""
