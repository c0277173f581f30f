"""The freebits hub: accepts checkpoints, stores them compressed, gives them back bit for bit.

Words used throughout: a *blob* is the content of one file, named by the SHA-256 of its original bytes; an
*object* is a stored sequence of bytes under a key (the raw bytes of a blob, or its container); a *commit* is
an immutable revision of a repo, a *ref* a movable name for one.

Layers: ``*/endpoints.py`` (HTTP only) -> operations -> ``queries.py`` and ``models.py`` (SQL) and ``blobs/``
(objects). Workers call the same operations.
"""
