"""Put and get through the hub's S3 store beside bare boto3 on the same server, and a hub's memory under 20 uploads.

    python tests/bench/bench_store.py [--mib 256] [--rounds 5]

The server is the OpenStack Swift of the tests, on the same machine: it is the limit, and takes most of the processor
time. boto3 moves files with its defaults of threads (10) and parts of 16 MiB, the store writes as a worker does (parts
of 16 MiB, four at once) and reads as an answer does (pieces of 1 MiB, in order). The ways take turns; medians count.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import boto3
import psutil
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from machine import machine_line
from running_hub import TOKEN, RunningHub, running_hub

from freebits_service.blobs.files import StagedFile
from freebits_service.blobs.keys import new_raw_key
from freebits_service.blobs.s3 import S3BlobStore
from freebits_service.settings import MIB, Settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "servers"))
from s3 import S3Server

BUCKET, PART_NBYTES, UPLOADS = "bench", 16 * MIB, 20
DIRECT = {"s3_bucket": BUCKET, "s3_addressing": "path"}


def put_store(store: S3BlobStore, source: Path) -> str:
    """Write the file as a worker writes a container; its key."""
    key = new_raw_key("0" * 64, "u-bench")
    store.begin(key)
    with source.open("rb") as file, StagedFile(store, key, PART_NBYTES) as target:
        while piece := file.read(MIB):
            target.write(piece)
        target.finish()
    store.finish(key)
    return key


def get_store(store: S3BlobStore, key: str, piece_nbytes: int) -> None:
    """Read the object in order."""
    with store.open(key) as reader:
        for start in range(0, reader.nbytes, piece_nbytes):
            reader.read_at(start, min(piece_nbytes, reader.nbytes - start))


def get_ranges(client: Any, key: str, nbytes: int, piece_nbytes: int) -> None:
    """One GET for each piece."""
    for start in range(0, nbytes, piece_nbytes):
        span = f"bytes={start}-{min(start + piece_nbytes, nbytes) - 1}"
        client.get_object(Bucket=BUCKET, Key=key, Range=span)["Body"].read()


def ways(server: S3Server, source: Path, folder: Path) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    store = S3BlobStore(Settings(**DIRECT, s3_endpoint=server.endpoint))
    client = client_of(server)
    chosen = TransferConfig(multipart_chunksize=PART_NBYTES)
    key, nbytes = put_store(store, source), source.stat().st_size
    return {
        "put, boto3 upload_file": lambda: client.upload_file(str(source), BUCKET, "bare", Config=chosen),
        "put, store": lambda: store.delete(put_store(store, source)),
        "get, boto3 download_file": lambda: client.download_file(BUCKET, key, str(folder / "out"), Config=chosen),
        "get, store, pieces of 1 MiB": partial(get_store, store, key, MIB),
        "get, one GET per 1 MiB": partial(get_ranges, client, key, nbytes, MIB),
        "get, one GET per 8 MiB": partial(get_ranges, client, key, nbytes, 8 * MIB),
        "get, one GET": partial(get_ranges, client, key, nbytes, nbytes),
    }


def client_of(server: S3Server) -> Any:
    """Bare boto3."""
    return boto3.client("s3", endpoint_url=server.endpoint, config=Config(s3={"addressing_style": "path"}))


def seconds(run: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def upload_through(hub: RunningHub, content: bytes) -> None:
    """One file through the hub, all its parts one after the other."""
    digest = hashlib.sha256(content).hexdigest()
    connection = http.client.HTTPConnection(hub.host, hub.port, timeout=600)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

    def ask(method: str, path: str, body: bytes) -> Any:
        while True:
            connection.request(method, f"/api/v1/repos{path}", body, headers)
            reply = connection.getresponse()
            answer = json.loads(reply.read())
            if reply.status == http.HTTPStatus.SERVICE_UNAVAILABLE:  # the server is busy beyond its timeouts
                time.sleep(float(reply.headers["Retry-After"]))
                continue
            assert reply.status < 300, answer
            return answer

    with closing(connection):
        announced = {"sha256": digest, "nbytes": len(content), "stored_nbytes": len(content), "stored_sha256": digest}
        upload = ask("POST", "/admin/memory/uploads", json.dumps(announced).encode())
        for number in range(upload["part_count"]):
            part = content[number * upload["part_nbytes"] :][: upload["part_nbytes"]]
            ask("PUT", f"/admin/memory/uploads/{upload['id']}/parts/{number}", part)
        ask("POST", f"/admin/memory/uploads/{upload['id']}/complete", b"")


@contextmanager
def peak_rss() -> Iterator[list[int]]:
    """The resident memory of the hub, sampled: its first and its largest value, bytes."""
    [server] = [child for child in psutil.Process().children() if "serve" in child.cmdline()]
    found = [server.memory_info().rss] * 2
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(0.02):
            found[1] = max(found[1], server.memory_info().rss)

    sampler = threading.Thread(target=sample)
    sampler.start()
    yield found
    ended.set()
    sampler.join()


def memory_under_uploads(server: S3Server, folder: Path) -> list[int]:
    """Resident memory of a hub before, and at most while, it takes `UPLOADS` files of three parts at once."""
    flags = ["--s3-bucket", BUCKET, "--s3-endpoint", server.endpoint, "--s3-addressing", "path", "--no-worker"]
    with running_hub(folder / "memory", flags=flags) as hub:
        connection = http.client.HTTPConnection(hub.host, hub.port)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/repos", b'{"name": "admin/memory"}', headers)
        connection.getresponse().read()
        connection.close()
        base = random.Random(1).randbytes(3 * PART_NBYTES)
        threads = [
            threading.Thread(target=upload_through, args=(hub, n.to_bytes(4, "big") + base[4:])) for n in range(UPLOADS)
        ]
        with peak_rss() as found:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=256, help="size of the object")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with closing(S3Server()) as server, tempfile.TemporaryDirectory() as temporary:
        os.environ.update(server.environment())
        client_of(server).create_bucket(Bucket=BUCKET)
        source = Path(temporary) / "source"
        source.write_bytes(os.urandom(options.mib * MIB))
        timed = ways(server, source, Path(temporary))
        rounds = [{name: seconds(run) for name, run in timed.items()} for _ in range(options.rounds)]
        print(machine_line("boto3"))
        print(f"\n| {options.mib} MiB, Swift on the same machine | MiB/s, median of {options.rounds} |\n|---|---:|")
        for name in timed:
            print(f"| {name} | {options.mib / median(each[name] for each in rounds):.0f} |")
        idle, peak = memory_under_uploads(server, Path(temporary))
        print(f"\n{UPLOADS} uploads at once through the hub: {idle / MIB:.0f} MiB resident, {peak / MIB:.0f} at most")


if __name__ == "__main__":
    main()
