"""Text as token ids, and pieces of it to calibrate on."""

from __future__ import annotations

import errno
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from freebits_codecs.symmetry.slicing.errors import InvalidSlicing, UnusableCheckpoint


def read_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer.json of a model's folder. Raises FileNotFoundError, UnusableCheckpoint."""
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        message = "no tokenizer.json here; write one with transformers: AutoTokenizer.from_pretrained(DIR)"
        raise FileNotFoundError(errno.ENOENT, f"{message}.save_pretrained(DIR)", str(folder))
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing more specific
        raise UnusableCheckpoint(str(path), found=str(error)[:200], expected="a tokenizer") from None


def sample_windows(token_ids: Tensor, count: int, length: int, seed: int) -> Tensor:
    """`count` pieces of `length` tokens that do not overlap, drawn at random: int64[count, length].

    Raises InvalidSlicing when the text has fewer.
    """
    if count < 1 or length < 1:
        raise InvalidSlicing("calibration", found=f"{count} samples of {length} tokens", expected="at least 1 of 1")
    available = len(token_ids) // length
    if available < count:
        raise InvalidSlicing(
            "calibration text",
            found=f"{len(token_ids)} tokens",
            expected=f"at least {count * length}, for {count} samples of {length} tokens; "
            "give a longer text, or lower the number of samples or their length",
        )
    draw = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(available, generator=draw)[:count].sort().values
    return token_ids[: available * length].reshape(available, length)[chosen]


def encode_text(tokenizer: Tokenizer, text: str) -> Tensor:
    """int64[n], with the special tokens that the tokenizer puts around a text."""
    return torch.tensor(tokenizer.encode(text).ids, dtype=torch.int64)


def read_text(path: str | Path) -> str:
    """A file of UTF-8 text. Raises OSError, InvalidSlicing."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSlicing(str(path), found=f"no UTF-8 at byte {error.start}", expected="a text file") from None
