"""Objects in a bucket of an S3-compatible store. The only package that knows boto3.

**How an upload maps to S3.** Beginning an object creates one multipart upload *under its final key*; part `n` of the
session is part `n + 1` there, sent through the service or straight from the client by a presigned URL; finishing
completes the multipart. Nothing is copied to give bytes their name, neither through the service nor inside the store.
S3 cannot read a multipart before it is completed, so the bytes are verified after, under their key. That is safe
because an object counts only when a row names it, and because a key is written by one multipart, once (``keys.py``):
the alternative, a staging key and a server-side copy, would write every byte twice to keep apart what the database
keeps apart anyway.

The upload id is not kept anywhere: it is looked up by the key (and remembered by each process to save the request),
so any replica goes on with any upload. What parts there are, with their ETags, the store is asked as well.

| a crash right after | leaves | who cleans |
|---|---|---|
| begin | an empty multipart | the collector, once its upload has expired or its job has ended |
| some parts | a multipart with parts | the same; the client goes on with it until then |
| finish, before the verification or the row | an object without a row | completing again finds it; else the collector |
| a failed verification | the object; then a second multipart with its parts copied in the store | the same |

A bucket rule that aborts incomplete multiparts after some days more than `upload_ttl_s` catches what a hub that is gone
has left.

**No call is a lock.** ``If-None-Match`` and ``If-Match`` differ too much between servers (ignored, not atomic, 501) and
are not used: keys are unique, and the database decides.

**Failures.** botocore retries with backoff (``standard`` mode); what then remains of a store that is down, throttles or
refuses us is StoreUnavailable, which is 503 for clients and a wait without a lost attempt for jobs.
"""

from .store import S3BlobStore

__all__ = ["S3BlobStore"]
