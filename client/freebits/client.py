"""Hub: the thin driver of the flows for threads. `async_client` has the one for asyncio."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx

from freebits import jobs as job_flows
from freebits import repos as flows
from freebits import variants as variant_flows
from freebits import wire
from freebits.connection import Connection
from freebits.download import PullResult
from freebits.drive import ThreadDriver
from freebits.json_http import json_of
from freebits.repos import Tree
from freebits.retry import TryAgain, unreachable
from freebits.steps import PutPart, Stream, Work
from freebits.upload import PushResult

if TYPE_CHECKING:
    from freebits.opening import Framework, TensorFile


class Hub(Connection):
    """A freebits hub. Also a context manager; `close` ends its threads and connections.

    Parameters
    ----------
    endpoint : str, optional
        Address of the hub; default: FREEBITS_ENDPOINT, HF_ENDPOINT, the last `freebits login`.
    token : str, optional
        Default: FREEBITS_TOKEN, the login stored for this endpoint, HF_TOKEN.
    retries : int
        How often a failed request is tried again before TransportError, waiting longer each time.
    timeout_s : float
        Seconds without any byte before a request counts as failed.
    threads : int, optional
        Threads for encoding and decoding; default: all cores.
    """

    def __init__(self, endpoint: str | None = None, token: str | None = None, **options: Any) -> None:
        super().__init__(endpoint, token, **options)
        self._client = httpx.Client(**self._http)
        self._driver = ThreadDriver(self._perform, self._stop)

    def push(
        self,
        path: str | os.PathLike[str],
        repo: str,
        revision: str = "main",
        message: str | None = None,
        **options: Any,
    ) -> PushResult:
        """Commit a file or a folder to branch `revision` of `repo`; only what changed is sent.

        Options: `include`, `exclude` (globs), `visibility` ("private" or "public") if the repo has to be
        created, `encode` (None: when that is faster than the link, True: always, False: never), `progress`. A
        killed push resumes when it is called again with the same arguments.
        """
        return self._driver.run(self._push_flow(path, repo, revision, message, **options))

    def pull(
        self,
        repo: str,
        output_dir: str | os.PathLike[str] | None = None,
        revision: str = "main",
        **options: Any,
    ) -> PullResult:
        """Write the files of a revision into `output_dir`, by default into the cache of Hugging Face libraries.

        Options: `include`, `exclude` (globs), `progress`. Files that are there with the right bytes are left
        alone, a killed pull resumes, every file appears complete and verified or not at all.
        """
        return self._driver.run(self._pull_flow(repo, output_dir, revision, **options))

    def open(self, repo: str, path: str, revision: str = "main", *, framework: Framework | None = None) -> TensorFile:
        """Tensors by name of a file at the hub, each read by ranges without the rest."""
        return self._open(repo, path, revision, framework)

    def whoami(self) -> wire.Identity:
        """Who the token belongs to."""
        return self._driver.run(flows.whoami())

    def ask(self, request: wire.Request) -> Any:
        """The decoded JSON answer to a request of `freebits.wire` or `freebits.wire_accounts`."""
        return self._driver.run(flows.ask(request))

    def repos(self, namespace: str | None = None) -> list[wire.Repo]:
        """All repos the caller may see."""
        return self._driver.run(flows.list_repos(namespace))

    def refs(self, repo: str) -> list[wire.Ref]:
        """Branches and tags of a repo."""
        return self._driver.run(flows.list_refs(repo))

    def jobs(self, state: str | None = None, limit: int = 100) -> list[wire.Job]:
        """The newest jobs of the hub that the caller may see, of one state or of all."""
        return self._driver.run(job_flows.list_jobs(state, limit))

    def job(self, job_id: int) -> wire.Job:
        """One job of the hub."""
        return self._driver.run(job_flows.get_job(job_id))

    def change_job(self, job_id: int, action: str) -> None:
        """Queue a parked or cancelled job again ("retry"), or stop one ("cancel"); for admins."""
        self._driver.run(job_flows.change_job(job_id, action))

    def create_variant(
        self,
        repo: str,
        method: str,
        revision: str | None = None,
        to: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> wire.Job:
        """Have the hub make an equivalent variant of a revision (the default branch) on branch `to` (the method).

        The answer is the job that makes it, or made it before; `job` says how far it is.
        """
        return self._driver.run(variant_flows.create_variant(repo, method, revision, to, parameters or {}))

    def variants(self, repo: str) -> list[wire.Variant]:
        """The variants of a repo, newest first."""
        return self._driver.run(variant_flows.list_variants(repo))

    def files(self, repo: str, revision: str = "main") -> Tree:
        """The files of a revision."""
        return self._driver.run(flows.read_tree(repo, revision))

    def create_repo(self, repo: str, visibility: str = "private") -> bool:
        """Create a repo; False when it exists."""
        return self._driver.run(flows.create_if_absent(repo, visibility))

    def delete_repo(self, repo: str) -> None:
        """Delete a repo with all its revisions."""
        self._driver.run(flows.delete_repo(repo))

    def delete_ref(self, repo: str, kind: str, name: str) -> None:
        """Delete a branch or a tag; `kind` is "branch" or "tag"."""
        self._driver.run(flows.delete_ref(repo, kind, name))

    def deleted_repos(self, namespace: str | None = None) -> list[wire.DeletedRepo]:
        """Deleted repos that the caller can bring back."""
        return self._driver.run(flows.list_deleted_repos(namespace))

    def undelete_repo(self, repo: str, new_name: str | None = None) -> wire.Repo:
        """Bring back the repo of this name that was deleted last, as `new_name` in the same namespace if given."""
        return self._driver.run(flows.undelete_repo(repo, new_name))

    def deleted_refs(self, repo: str) -> list[wire.DeletedRef]:
        """Branches and tags that were deleted lately, newest first."""
        return self._driver.run(flows.list_deleted_refs(repo))

    def undelete_ref(self, repo: str, kind: str, name: str) -> wire.Ref:
        """Create a branch or tag again where it was when it was deleted last; `kind` is "branch" or "tag"."""
        return self._driver.run(flows.undelete_ref(repo, kind, name))

    def delete_files(self, repo: str, paths: Sequence[str], revision: str, message: str) -> str:
        """Commit the removal of files (or folders, with a trailing "/"); the new commit's id."""
        return self._driver.run(flows.delete_files(repo, revision, paths, message))

    def close(self) -> None:
        """End threads and connections."""
        self._driver.close()
        self._close_blobs()
        self._client.close()

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _perform(self, step: wire.Request | PutPart | Stream | Work) -> Any:
        if isinstance(step, wire.Request):
            return self._retry.run(lambda: self._call(step))
        return self._move_bytes(step)

    def _call(self, request: wire.Request) -> Any:
        try:
            response = self._client.request(request.method, request.path, json=request.json)
        except httpx.HTTPError as error:
            raise TryAgain(unreachable(self.endpoint, error)) from error
        return json_of(response)
