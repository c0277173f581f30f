"""encode, decode, inspect, verify: files on this machine, no hub."""

from __future__ import annotations

import dataclasses
import io
import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from freebits.cli.output_file import STDIO, input_file, output_file
from freebits.cli.terminal import bar, show, size, table
from freebits.errors import UsageError
from freebits.progress import Progress

if TYPE_CHECKING:
    from freebits_codecs.inspection import Inspection, TensorFacts
    from freebits_codecs.symmetry.slots import SlotFacts

SUFFIX = ".fb"


def encode(options: Namespace) -> int:
    """`freebits encode FILE... [-o OUT]`"""
    from freebits_codecs import encode_file  # noqa: PLC0415  numpy costs 0.1 s, and hub commands need none

    return _convert(options, "encode", encode_file, lambda name: name + SUFFIX)


def decode(options: Namespace) -> int:
    """`freebits decode FILE... [-o OUT]`"""
    from freebits_codecs import decode_file  # noqa: PLC0415

    return _convert(options, "decode", decode_file, _without_suffix)


def verify(options: Namespace) -> int:
    """`freebits verify FILE...`"""
    from freebits_codecs import decode_file  # noqa: PLC0415

    for name in options.files:
        with bar(options, name) as progress:
            progress.expect(os.stat(name).st_size)
            report = _reporting(progress, of_stored=True)
            summary = decode_file(name, cast(BinaryIO, _Nowhere()), threads=options.threads, progress=report)
        facts = {"file": name, "ok": True, "sha256": summary.sha256, "nbytes": summary.original_nbytes}
        proof = f"SHA-256 {summary.sha256}" if summary.sha256 else "all checksums right, no SHA-256 recorded"
        show(options, facts, f"{name}: ok, {proof}")
    return 0


def inspect(options: Namespace) -> int:
    """`freebits inspect FILE...`"""
    from freebits_codecs.inspection import inspect_container  # noqa: PLC0415

    for name in options.files:
        container = inspect_container(name)
        show(options, _facts(name, container), _description(name, container))
    return 0


def _convert(options: Namespace, verb: str, convert: Callable[..., Any], rename: Callable[[str], str]) -> int:
    if options.output and len(options.files) > 1:
        raise UsageError("-o names one output; give one FILE, or leave -o out")
    for name in options.files:
        output = options.output or (STDIO if name == STDIO else rename(name))
        like = None if name == STDIO else Path(name)
        with ExitStack() as stack:
            source = like or stack.enter_context(input_file(name))
            target = stack.enter_context(output_file(output, force=options.force, like=like))
            progress = stack.enter_context(bar(options, verb))
            of_stored = verb == "decode"
            progress.expect(like.stat().st_size if like else 0)
            summary = convert(source, target, threads=options.threads, progress=_reporting(progress, of_stored))
        if output != STDIO:
            show(options, _summary(name, output, summary), _sentence(output, summary))
    return 0


def _without_suffix(name: str) -> str:
    if not name.endswith(SUFFIX) or Path(name).name == SUFFIX:
        raise UsageError(f"{name} does not end in {SUFFIX}; name the output with -o")
    return name.removesuffix(SUFFIX)


def _reporting(progress: Progress, of_stored: bool) -> Callable[[int, int], None]:
    """Turns the codecs' running totals into steps of the bar, whose total is the size of the input."""
    seen = [0, 0]

    def report(original_nbytes: int, stored_nbytes: int) -> None:
        input_nbytes = stored_nbytes if of_stored else original_nbytes
        progress.advance(input_nbytes - seen[0], stored_nbytes - seen[1])
        seen[:] = [input_nbytes, stored_nbytes]

    return report


def _summary(name: str, output: str, summary: Any) -> dict[str, Any]:
    return {
        "input": name,
        "output": output,
        "nbytes": summary.original_nbytes,
        "stored_nbytes": summary.stored_nbytes,
        "ratio": summary.original_nbytes / max(summary.stored_nbytes, 1),
        "sha256": summary.sha256,
    }


def _sentence(output: str, summary: Any) -> str:
    ratio = summary.original_nbytes / max(summary.stored_nbytes, 1)
    original, stored = size(summary.original_nbytes), size(summary.stored_nbytes)
    return f"{output}: {original} original, {stored} stored, ratio {ratio:.3f}"


def _facts(name: str, container: Inspection) -> dict[str, Any]:
    return {
        "file": name,
        "version": container.version,
        "format": container.format,
        "nbytes": container.nbytes,
        "stored_nbytes": container.stored_nbytes,
        "ratio": container.ratio,
        "sha256": container.sha256,
        "chunk_count": container.chunk_count,
        "tensors": [_tensor_facts(tensor) for tensor in container.tensors],
        "outside": _tensor_facts(container.outside),
        "slots": None if container.slots is None else [dataclasses.asdict(slot) for slot in container.slots],
    }


def _tensor_facts(tensor: TensorFacts) -> dict[str, Any]:
    return {**dataclasses.asdict(tensor), "ratio": tensor.ratio}


def _description(name: str, container: Inspection) -> str:
    head = (
        f"{name}: {container.format or 'unknown format'}, {size(container.nbytes)} original, "
        f"{size(container.stored_nbytes)} stored, ratio {container.ratio:.3f}, {container.chunk_count} chunks\n"
        f"SHA-256 {container.sha256 or 'not recorded'}"
    )
    titles = ("tensor", "dtype", "shape", "bytes", "stored", "ratio", "bits/exponent", "planes")
    rows = [titles, *(_row(tensor) for tensor in (*container.tensors, container.outside))]
    text = f"{head}\n{table(rows, right=frozenset({3, 4, 5, 6}))}"
    return text if container.slots is None else f"{text}\n\n{_slot_table(container.slots)}"


def _slot_table(slots: Sequence[SlotFacts]) -> str:
    """What a symmetric form leaves out."""
    titles = ("slot", "size", "numbers", "of", "popped bits", "correction bits", "exceptions", "tensors")
    rows = [
        (
            slot.kind,
            str(slot.size or "-"),
            str(slot.numbers),
            str(slot.of),
            str(slot.popped_bits or "-"),
            str(slot.correction_bits or "-"),
            str(slot.exceptions or "-"),
            " ".join(slot.tensors),
        )
        for slot in slots
    ]
    return f"a symmetric form; its slots:\n{table([titles, *rows], right=frozenset(range(1, 7)))}"


def _row(tensor: TensorFacts) -> tuple[str, ...]:
    return (
        tensor.name,
        tensor.dtype,
        "x".join(map(str, tensor.shape)) or "scalar",
        str(tensor.nbytes),
        str(tensor.stored_nbytes),
        f"{tensor.ratio:.3f}",
        "-" if tensor.exponent_bits is None else f"{tensor.exponent_bits:.2f}",
        " ".join(f"{plane}:{codec}" for plane, codec in tensor.planes.items()),
    )


class _Nowhere(io.RawIOBase):
    """A binary file that forgets what it is given."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes
