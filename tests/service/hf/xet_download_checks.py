"""Downloads a file of a hub in every way that a released huggingface_hub has. Run by the Python of its environment.

    HF_ENDPOINT=... HF_TOKEN=... python xet_download_checks.py NAMESPACE/NAME PATH START STOP

The last line it prints is JSON: the SHA-256 of what came, by the way it came; ``range`` is the bytes START to STOP.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import hf_xet
import huggingface_hub
from huggingface_hub import HfApi, HfFileSystem, get_hf_file_metadata, hf_hub_url
from huggingface_hub.utils import build_hf_headers
from huggingface_hub.utils._xet import refresh_xet_connection_info

repo, path, start, stop = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
api = HfApi()


def digest(file: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def part() -> str:
    """The SHA-256 of a range, which hf-xet streams."""
    metadata = get_hf_file_metadata(hf_hub_url(repo, path))
    told = refresh_xet_connection_info(file_data=metadata.xet_file_data, headers=build_hf_headers())
    group = hf_xet.XetSession().new_download_stream_group(
        endpoint=told.endpoint, token=told.access_token, token_expiry_unix_secs=told.expiration_unix_epoch
    )
    file = hf_xet.XetFileInfo(metadata.xet_file_data.file_hash, metadata.size)
    whole = hashlib.sha256()
    for piece in group.download_stream(file, start, stop):
        whole.update(piece)
    return whole.hexdigest()


found = {
    "file": digest(Path(api.hf_hub_download(repo, path))),
    "snapshot": digest(Path(api.snapshot_download(repo, local_dir="snapshot")) / path),
}
if int(huggingface_hub.__version__.split(".")[0]) > 1:  # older ones read by plain HTTP here, whatever is offered
    copied = Path("copied").absolute()
    HfFileSystem().get_file(f"{repo}/{path}", str(copied))
    found["filesystem"] = digest(copied)
if hasattr(hf_xet, "XetSession") and "HF_HUB_DISABLE_XET" not in os.environ:
    found["range"] = part()
print(json.dumps(found))
