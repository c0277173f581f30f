"""Slice a Hugging Face folder into a new folder: whole under its name, or not there at all."""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freebits_codecs.symmetry.slicing.calibration import encode_text, read_text, read_tokenizer, sample_windows
from freebits_codecs.symmetry.slicing.checkpoint import open_checkpoint
from freebits_codecs.symmetry.slicing.config import read_config
from freebits_codecs.symmetry.slicing.loading import find_config
from freebits_codecs.symmetry.slicing.safetensors_file import write_safetensors
from freebits_codecs.symmetry.slicing.slicer import Report, SlicingOptions, slice_weights
from freebits_codecs.symmetry.slicing.widths import SlicingConfig

COPIED = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
    "LICENSE*",
    "NOTICE*",
)
"""What goes along from the dense model's folder."""

DEFAULT_SAMPLES = 128
DEFAULT_SEQUENCE_LENGTH = 2048


@dataclass(frozen=True, slots=True)
class SlicingSummary:
    """What `slice_folder` did: bytes of all tensors before and after (a tied head counts once), and the widths."""

    nbytes: int
    sliced_nbytes: int
    widths: SlicingConfig


def slice_folder(
    model_dir: str | Path,
    output: str | Path,
    calibration: str | Path,
    options: SlicingOptions,
    *,
    samples: int = DEFAULT_SAMPLES,
    sequence_length: int | None = None,
    report: Report = lambda done, total, left: None,
) -> SlicingSummary:
    """Write the sliced model of a Hugging Face folder to a new folder.

    Parameters
    ----------
    model_dir
        config.json, tokenizer.json, and weights as safetensors or .bin.
    output
        Made by this function; may exist if it is empty.
    calibration
        A text file in UTF-8, of the kind of text that the model is for.
    samples, sequence_length
        How many pieces of the text to calibrate on and how many tokens each; by default 128 of 2048, or of as many
        tokens as the model has positions.
    report
        Told after each block: bytes sliced, bytes in all, bytes left of those sliced.

    Raises
    ------
    FileNotFoundError
        Without config, tokenizer, weights or text.
    FileExistsError
        When `output` exists and is not an empty folder.
    UnsupportedModel, UnusableCheckpoint, InvalidSlicing
        Nothing was written.
    """
    source, target = Path(model_dir), Path(output)
    check_output(target)
    config = read_config(find_config(source))
    options.kept(config.hidden_size)
    length = sequence_length or min(DEFAULT_SEQUENCE_LENGTH, config.max_positions)
    token_ids = encode_text(read_tokenizer(source), read_text(calibration))
    windows = sample_windows(token_ids, samples, length, options.seed)
    checkpoint = open_checkpoint(source).spelled_for(config.architecture.prefix)
    weights = slice_weights(checkpoint, config, windows, options, report)
    widths = SlicingConfig.of(config, weights)
    with _new_folder(target) as draft:
        write_safetensors(draft, weights.named(config))
        (draft / "slicing.json").write_text(widths.to_json())
        for file in _companions(source):
            shutil.copyfile(file, draft / file.name)
    return SlicingSummary(checkpoint.nbytes, weights.nbytes, widths)


def check_output(target: Path) -> None:
    """Raise FileExistsError unless `target` is absent or an empty folder."""
    if target.is_symlink() or target.exists():
        if target.is_dir() and not target.is_symlink() and not any(target.iterdir()):
            return
        raise FileExistsError(errno.EEXIST, "exists and is no empty folder; choose another name", str(target))


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` to fill, which gets the name at the end; an error on the way removes it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        draft.mkdir()
        yield draft
        check_output(target)
        draft.replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _companions(source: Path) -> list[Path]:
    found = {path for pattern in COPIED for path in source.glob(pattern) if path.is_file()}
    return sorted(found)
