"""Repos of another hub, fetched when somebody asks for them first.

The other hub, the *upstream*, is one that Hugging Face clients could ask: the Hugging Face Hub, or another hub of this
kind. What a reader finds here is what the upstream had:

    lookups.py     before a read: is the repo here, is its revision? If not, one lookup for everybody who waits
    upstream.py    the requests to the upstream
    revisions.py   a revision becomes known: a commit under the upstream's id, whose files are known by name only
    fetches.py     somebody reads such a file: one download for everybody who does
    fetch.py       it is received, read while it arrives, verified, kept

Bytes of large files come when they are read. Short files, of which the upstream tells no SHA-256, come with the
revision. Once fetched a file is like any other: encoded by a worker, collected when nobody needs it. What is here stays
readable when the upstream is away, or has it no more.
"""
