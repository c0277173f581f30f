"""What both hubs share: who and where, how to retry, the flows, and the bytes of blobs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freebits import wire
from freebits.blob_http import BlobTransport
from freebits.certificates import Certificates
from freebits.credentials import Credentials
from freebits.download import Pull, PullResult, pull_flow
from freebits.hf_cache import CachedRepo, cache_folder
from freebits.local_files import find_files
from freebits.output_folder import OutputFolder
from freebits.progress import SILENT, Progress
from freebits.remote_bytes import RemoteFile
from freebits.retry import Retry
from freebits.settings import find_endpoint, find_token
from freebits.steps import Flow, PutPart, Stream, Work
from freebits.upload import Push, PushResult, push_flow
from freebits.upload_state import UploadState

if TYPE_CHECKING:
    from freebits.opening import Framework, TensorFile

BLOCKS_AT_ONCE = 8


class Connection:
    """A hub without its JSON client; see `freebits.client.Hub` for the arguments."""

    def __init__(
        self,
        endpoint: str | None,
        token: str | None,
        *,
        retries: int = 5,
        timeout_s: float = 60.0,
        threads: int | None = None,
    ) -> None:
        credentials = Credentials()
        self.endpoint = find_endpoint(endpoint, credentials)
        token = find_token(token, self.endpoint, credentials)
        self._threads = threads or os.cpu_count() or 1
        self._retry = Retry(retries)
        certificates = Certificates()
        self._http: dict[str, Any] = {
            "base_url": self.endpoint,
            "headers": {"Authorization": f"Bearer {token}"} if token else {},
            "timeout": timeout_s,
            "follow_redirects": True,
            "verify": certificates,
        }
        self._blobs = BlobTransport(self.endpoint, token, self._retry, timeout_s, certificates)
        self._blocks = ThreadPoolExecutor(BLOCKS_AT_ONCE, "freebits-block")

    def _stop(self) -> None:
        self._retry.stop.set()
        self._blobs.close()

    def _close_blobs(self) -> None:
        self._blocks.shutdown(cancel_futures=True)
        self._blobs.close()

    def _move_bytes(self, step: PutPart | Stream | Work) -> Any:
        """Do a step that is not JSON; blocks."""
        if isinstance(step, Work):
            self._retry.check_stop()
            return step.run()
        if isinstance(step, PutPart):
            return self._blobs.put(step)
        remote = RemoteFile(self._blobs, step.path, accept_container=step.accept_container, executor=self._blocks)
        try:
            return step.consume(remote)
        finally:
            remote.close()

    def _push_flow(
        self,
        path: str | os.PathLike[str],
        repo: str,
        revision: str = "main",
        message: str | None = None,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        visibility: str = "private",
        encode: bool | None = None,
        progress: Progress = SILENT,
    ) -> Flow[PushResult]:
        wire.repo_path(repo)
        files = find_files(Path(path), include, exclude)
        push = Push(
            repo=repo,
            revision=revision,
            message=message or _default_message([file.path for file in files]),
            visibility=visibility,
            encode=encode,
            threads=self._threads,
            state=UploadState(self.endpoint),
            progress=progress,
            check_stop=self._retry.check_stop,
        )
        return push_flow(push, files)

    def _pull_flow(
        self,
        repo: str,
        output_dir: str | os.PathLike[str] | None = None,
        revision: str = "main",
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        progress: Progress = SILENT,
    ) -> Flow[PullResult]:
        wire.repo_path(repo)
        place = OutputFolder(Path(output_dir)) if output_dir else CachedRepo(cache_folder(), repo)
        pull = Pull(repo, revision, place, include, exclude, self._threads, progress, self._retry.check_stop)
        return pull_flow(pull)

    def _open(self, repo: str, path: str, revision: str, framework: Framework | None) -> TensorFile:
        from freebits.opening import open_remote  # noqa: PLC0415  needs numpy, which most commands do not

        remote = RemoteFile(
            self._blobs,
            wire.resolve_path(repo, revision, path),
            accept_container=True,
            executor=self._blocks,
            pin=lambda commit: wire.resolve_path(repo, commit, path),
        )
        return open_remote(remote, framework=framework, threads=self._threads)


def _default_message(paths: Sequence[str]) -> str:
    return f"Add {paths[0]}" if len(paths) == 1 else f"Add {len(paths)} files"
