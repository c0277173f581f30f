"""Xet, the protocol that Hugging Face clients send large files with, and fetch them.

A client cuts files into chunks of some 64 KiB, packs new ones into *xorbs* of up to 64 MiB and sends these; a *shard*
then says which chunks of which xorbs make which files. What arrives is put together again, verified, and kept like any
other upload. Formats after the protocol's public specification (version 1) and its reference client.

How long a client may refer to what it sent earlier is decided here: it remembers that by the address that it was given
for its uploads, and that address has the number of the current epoch in it (``epochs.py``).

What is downloaded has no chunks any more, and needs none: any file is shown as xorbs that are made while they are sent
(``layout.py``, ``frames.py``).
"""
