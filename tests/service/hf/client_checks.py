"""What a released huggingface_hub does against a hub. Run by the Python of an environment that has one.

    HF_ENDPOINT=... HF_TOKEN=... HF_HOME=... python client_checks.py

The last line it prints is JSON: the outcome of every check by its name, ``ok`` or what went wrong. It uses nothing
of freebits: it is a stranger's program.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import sys
import tempfile
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path

import huggingface_hub as hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, HfFileSystem

VERSION = tuple(int(part) for part in hub.__version__.split(".")[:2])
SMALL = b'{"model_type": "llama"}'
LARGE = random.Random(7).randbytes(3_000_000) + bytes(2_000_000)
UNICODE = "sub dir/gewichte-größe ü.txt"

api = HfApi()
user = api.whoami()["name"]
repo = f"{user}/matrix-{uuid.uuid4().hex[:8]}"
checks: dict[str, Callable[[], None]] = {}


def check(function: Callable[[], None]) -> Callable[[], None]:
    """Note a check; they run in the order of this file."""
    checks[function.__name__] = function
    return function


def expect(kind: str | tuple[str, ...], action: Callable[[], object], text: str = "") -> None:
    """The action raises one of these exceptions of the client, and its message has the text."""
    kinds = (kind,) if isinstance(kind, str) else kind
    raised = outcome(action)
    assert raised is not None, f"nothing was raised instead of {kinds}"
    names = {each.__name__ for each in type(raised).__mro__}
    assert names & set(kinds), f"{type(raised).__name__} instead of {kinds}: {raised}"
    assert text.lower() in str(raised).lower(), f"{text!r} is not in {raised}"


def outcome(action: Callable[[], object]) -> Exception | None:
    """What the action raises."""
    try:
        action()
    except Exception as error:
        return error
    return None


@check
def whoami() -> None:
    """The token's user; a wrong token is told from a missing repo."""
    facts = api.whoami()
    assert (facts["type"], facts["auth"]["accessToken"]["role"]) == ("user", "write"), facts
    expect(("HfHubHTTPError", "HTTPError"), lambda: HfApi(token="fb_wrong").whoami(), "invalid")
    expect("HfHubHTTPError", lambda: HfApi(token="fb_wrong").model_info(repo), "invalid")


@check
def create_repo() -> None:
    """Made once; again is a conflict, or nothing with exist_ok."""
    url = api.create_repo(repo, private=True)
    assert url.repo_id == repo, url
    assert api.create_repo(repo, exist_ok=True).repo_id == repo
    expect("HfHubHTTPError", lambda: api.create_repo(repo), "already")
    info = api.model_info(repo)
    assert info.private
    assert info.sha
    assert [file.rfilename for file in info.siblings or []] == [".gitattributes"]


@check
def upload_folder() -> None:
    """A folder of a large file, small ones, an empty one, an ignored one, names with spaces and umlauts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sub dir").mkdir()
        (folder / "model.safetensors").write_bytes(LARGE)
        (folder / "config.json").write_bytes(SMALL)
        (folder / "empty.txt").write_bytes(b"")
        (folder / ".gitignore").write_text("*.log\n")
        (folder / "debug.log").write_text("not for others")
        (folder / UNICODE).write_text("ü" * 2000)
        api.upload_folder(repo_id=repo, folder_path=name, commit_message="first")
        before = api.model_info(repo).sha
        api.upload_folder(repo_id=repo, folder_path=name, commit_message="again")
        assert api.model_info(repo).sha == before, "an upload of the same files made a commit"
    assert set(api.list_repo_files(repo)) == {
        ".gitattributes",
        ".gitignore",
        "config.json",
        "empty.txt",
        "model.safetensors",
        UNICODE,
    }


@check
def download() -> None:
    """Every file comes back as it was; what is not there says so."""
    for path, expected in (("model.safetensors", LARGE), ("config.json", SMALL), ("empty.txt", b"")):
        assert Path(api.hf_hub_download(repo, path)).read_bytes() == expected, path
    assert Path(api.hf_hub_download(repo, UNICODE)).read_text() == "ü" * 2000
    expect("EntryNotFoundError", lambda: api.hf_hub_download(repo, "absent.json"))
    expect("RevisionNotFoundError", lambda: api.hf_hub_download(repo, "config.json", revision="absent"))
    expect("RepositoryNotFoundError", lambda: api.hf_hub_download(f"{user}/absent", "config.json"))
    expect("RepositoryNotFoundError", lambda: HfApi(token=False).model_info(repo))
    assert api.file_exists(repo, "config.json")
    assert not api.file_exists(repo, "absent")
    assert api.revision_exists(repo, "main")
    assert not api.repo_exists(f"{user}/absent")


@check
def upload_file() -> None:
    """From memory and from a file object, large and small."""
    api.upload_file(path_or_fileobj=b"hello", path_in_repo="notes/a.txt", repo_id=repo)
    api.upload_file(path_or_fileobj=io.BytesIO(LARGE[::-1]), path_in_repo="notes/b.bin", repo_id=repo)
    assert Path(api.hf_hub_download(repo, "notes/b.bin")).read_bytes() == LARGE[::-1]
    assert Path(api.hf_hub_download(repo, "notes/a.txt")).read_bytes() == b"hello"


@check
def listings() -> None:
    """Trees, paths, sizes and digests."""
    info = api.model_info(repo, files_metadata=True)
    file = next(file for file in info.siblings or [] if file.rfilename == "model.safetensors")
    assert file.size == len(LARGE)
    assert file.lfs is not None
    assert file.lfs["sha256"] == hashlib.sha256(LARGE).hexdigest()
    flat = {entry.path for entry in api.list_repo_tree(repo)}
    assert {"notes", "sub dir", "config.json"} <= flat, flat
    assert "notes/a.txt" not in flat, flat
    deep = {entry.path for entry in api.list_repo_tree(repo, recursive=True)}
    assert {"notes", "notes/a.txt", UNICODE} <= deep, deep
    assert {entry.path for entry in api.list_repo_tree(repo, "notes")} == {"notes/a.txt", "notes/b.bin"}
    expect("EntryNotFoundError", lambda: list(api.list_repo_tree(repo, "absent")))
    found = api.get_paths_info(repo, ["notes", "config.json", "absent"])
    assert {entry.path for entry in found} == {"notes", "config.json"}
    assert repo in {model.id for model in api.list_models(author=user, search=repo.split("/")[1])}


@check
def snapshot() -> None:
    """A whole repo, by patterns, into a folder, and from the cache without the hub."""
    folder = Path(api.snapshot_download(repo))
    assert (folder / "model.safetensors").read_bytes() == LARGE
    with tempfile.TemporaryDirectory() as name:
        api.snapshot_download(repo, local_dir=name, allow_patterns="*.json")
        assert [path.name for path in Path(name).glob("*.*") if path.is_file()] == ["config.json"]
    assert Path(api.snapshot_download(repo, local_files_only=True)) == folder


@check
def refs() -> None:
    """Branches with slashes, tags, history."""
    api.create_branch(repo, branch="dev/x")
    expect("HfHubHTTPError", lambda: api.create_branch(repo, branch="dev/x"), "already")
    api.create_branch(repo, branch="dev/x", exist_ok=True)
    api.upload_file(path_or_fileobj=b"dev", path_in_repo="config.json", repo_id=repo, revision="dev/x")
    assert Path(api.hf_hub_download(repo, "config.json", revision="dev/x")).read_bytes() == b"dev"
    assert Path(api.hf_hub_download(repo, "config.json")).read_bytes() == SMALL
    api.create_tag(repo, tag="v1")
    listed = api.list_repo_refs(repo)
    assert {branch.name for branch in listed.branches} == {"main", "dev/x"}
    assert [tag.name for tag in listed.tags] == ["v1"]
    titles = [commit.title for commit in api.list_repo_commits(repo)]
    assert titles[-1] == "initial commit", titles
    assert "first" in titles, titles
    api.delete_tag(repo, tag="v1")
    api.delete_branch(repo, branch="dev/x")
    expect("RevisionNotFoundError", lambda: api.delete_branch(repo, branch="dev/x"))
    assert [branch.name for branch in api.list_repo_refs(repo).branches] == ["main"]


@check
def commits() -> None:
    """Several operations at once; a parent that is not the head any more; deletions of files and folders."""
    head = api.model_info(repo).sha
    made = api.create_commit(
        repo,
        [CommitOperationAdd("many/1.txt", b"1"), CommitOperationAdd("many/2.txt", b"2")],
        commit_message="many",
        parent_commit=head,
    )
    assert made.oid == api.model_info(repo).sha
    assert made.oid in made.commit_url

    late = [CommitOperationAdd("x", b"x")]
    expect("HfHubHTTPError", lambda: api.create_commit(repo, late, commit_message="late", parent_commit=head), "412")
    api.create_commit(repo, [CommitOperationDelete("many/", is_folder=True)], commit_message="less")
    api.delete_file("notes/a.txt", repo)
    assert not [path for path in api.list_repo_files(repo) if path.startswith("many/") or path == "notes/a.txt"]
    expect("EntryNotFoundError", lambda: api.delete_file("absent.txt", repo))


@check
def copies() -> None:
    """A file copied on the hub, without its bytes being sent."""
    operation = hub.CommitOperationCopy("model.safetensors", "copy.safetensors")
    api.create_commit(repo, [operation], commit_message="copy")
    assert Path(api.hf_hub_download(repo, "copy.safetensors")).read_bytes() == LARGE


@check
def file_system() -> None:
    """HfFileSystem: listing, ranges, writing."""
    files = HfFileSystem(skip_instance_cache=True)
    assert f"{repo}/config.json" in files.ls(repo, detail=False)
    with files.open(f"{repo}/model.safetensors", "rb") as opened:
        opened.seek(1_234_567)
        assert opened.read(1000) == LARGE[1_234_567:1_235_567]
    assert files.cat_file(f"{repo}/config.json") == SMALL
    with files.open(f"{repo}/written.txt", "w") as writing:
        writing.write("by the file system")
    assert files.info(f"{repo}/written.txt")["size"] == len("by the file system")
    files.rm(f"{repo}/written.txt")
    files.invalidate_cache()
    assert not files.exists(f"{repo}/written.txt")


@check
def datasets() -> None:
    """Repos of other kinds live under their own addresses."""
    name = f"{repo}-data"
    api.create_repo(name, repo_type="dataset")
    api.upload_file(path_or_fileobj=b"a,b\n1,2\n", path_in_repo="train.csv", repo_id=name, repo_type="dataset")
    assert Path(api.hf_hub_download(name, "train.csv", repo_type="dataset")).read_bytes() == b"a,b\n1,2\n"
    expect("RepositoryNotFoundError", lambda: api.model_info(name))
    api.delete_repo(name, repo_type="dataset")


@check
def settings_move_delete() -> None:
    """Visibility, a new name, the end."""
    if hasattr(api, "update_repo_settings"):
        api.update_repo_settings(repo, private=False)
        assert HfApi(token=False).model_info(repo).private is False
    api.move_repo(repo, f"{repo}-moved")
    assert api.repo_exists(f"{repo}-moved")
    assert not api.repo_exists(repo)
    api.delete_repo(f"{repo}-moved")
    api.delete_repo(f"{repo}-moved", missing_ok=True)
    expect("RepositoryNotFoundError", lambda: api.delete_repo(f"{repo}-moved"))


@check
def what_is_missing_is_named() -> None:
    """501 with the feature's name, not a 404 that could mean anything."""
    expect("HfHubHTTPError", lambda: list(api.get_repo_discussions(f"{user}/x")), "does not offer")


def main() -> None:
    """Run the checks named on the command line, or all."""
    outcomes: dict[str, str] = {}
    for name in sys.argv[1:] or checks:
        try:
            checks[name]()
            outcomes[name] = "ok"
        except Exception as error:
            traceback.print_exc()
            outcomes[name] = f"{type(error).__name__}: {error}"[:500]
    print(json.dumps({"huggingface_hub": hub.__version__, "checks": outcomes}))


if __name__ == "__main__":
    assert os.environ["HF_ENDPOINT"], "this is not for the Hugging Face Hub"
    main()
