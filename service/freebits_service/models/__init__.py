"""The tables. What the rows mean; the statements over them are in the ``queries.py`` files.

user -< token, identity            repo -< ref >- commit >- tree -< tree_span >- tree_page -< tree_entry >- blob
repo -< repo_blob >- blob          which repos hold which content: access by possession, and what may be collected
repo -< upstream_file >- blob      what a mirrored repo has by name only
repo -< upload -< upload_part      content on its way in
blob -< tensor                     what is in it, by content
blob -< job                        work wanted on it; worker: who lives; audit: who changed what
job - variant >- repo, commit      work wanted on a revision, and what was made of it
user -< membership >- namespace    organizations are namespaces; each namespace has its usage and quota
user -< xorb                       chunks that its Xet client may refer to
lease                              what one process at a time does
sample                             what was last counted of the whole hub
"""

from __future__ import annotations

from .accounts import Audit, Identity, Membership, Namespace, OidcLogin, SigningKey, Token, User
from .blobs import Blob, RepoBlob, UpstreamFile
from .collection import Lease
from .jobs import Job, Worker
from .repos import Commit, Ref, Repo, Tree, TreeEntry, TreePage, TreeSpan
from .samples import Sample
from .tables import Base
from .tensors import Tensor
from .uploads import Upload, UploadPart, Xorb
from .variants import Variant

__all__ = [
    "Audit",
    "Base",
    "Blob",
    "Commit",
    "Identity",
    "Job",
    "Lease",
    "Membership",
    "Namespace",
    "OidcLogin",
    "Ref",
    "Repo",
    "RepoBlob",
    "Sample",
    "SigningKey",
    "Tensor",
    "Token",
    "Tree",
    "TreeEntry",
    "TreePage",
    "TreeSpan",
    "Upload",
    "UploadPart",
    "UpstreamFile",
    "User",
    "Variant",
    "Worker",
    "Xorb",
]
