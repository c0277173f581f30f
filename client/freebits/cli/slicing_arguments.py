"""The arguments of ``freebits slice``, ``generate`` and ``perplexity``."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, TypeAlias

from freebits.cli import slicing
from freebits.cli.argument_types import count, count_or_zero, number_below

if TYPE_CHECKING:
    _Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

_DTYPES = ("float32", "float16", "bfloat16")


def add_slicing_commands(commands: _Commands, *parents: argparse.ArgumentParser) -> None:
    """`freebits slice`, and two commands that run what it makes."""
    _add_slice(commands, parents)
    _add_generate(commands, parents)
    _add_perplexity(commands, parents)


def _add_slice(commands: _Commands, parents: tuple[argparse.ArgumentParser, ...]) -> None:
    text = "make a smaller language model by leaving out directions that it hardly uses (SliceGPT); lossy"
    command = commands.add_parser("slice", help=text, description=text, parents=parents)
    command.add_argument("model", metavar="MODEL_DIR", help="Hugging Face folder: config, tokenizer.json, weights")
    command.add_argument(
        "--sparsity", type=number_below(1), required=True, help="part of the directions to leave out, as 0.2"
    )
    command.add_argument("--calibration", metavar="FILE", required=True, help="text of the kind the model is for")
    command.add_argument("-o", "--output", metavar="OUT", required=True, help="new folder")
    command.add_argument("--evaluate", metavar="FILE", help="text to measure perplexity on, before and after")
    command.add_argument("--samples", type=count, default=128, help="pieces to calibrate on (default: 128)")
    command.add_argument("--sequence-length", type=count, metavar="N", help="tokens per piece (default: at most 2048)")
    command.add_argument(
        "--round-interval", type=count, default=8, metavar="N", help="keep multiples of N (default: 8)"
    )
    command.add_argument(
        "--orientation", choices=("random", "pca"), default="random", help="of the kept directions (default: random)"
    )
    command.add_argument("--seed", type=count_or_zero, default=42, help="of samples and orientations (default: 42)")
    command.add_argument("--batch", type=count, default=16, help="pieces calibrated on at a time (default: 16)")
    _add_place(command, "of the sliced weights (default: as in MODEL_DIR)")
    command.set_defaults(run=slicing.slice_model)


def _add_generate(commands: _Commands, parents: tuple[argparse.ArgumentParser, ...]) -> None:
    text = "continue a text with a dense or sliced language model"
    command = _add_runner(commands, parents, "generate", text)
    command.add_argument("--prompt", metavar="TEXT", required=True)
    command.add_argument("--max-new-tokens", type=count_or_zero, default=100, metavar="N", help="default: 100")
    command.add_argument(
        "--temperature", type=number_below(math.inf), default=0.0, help="0 takes the likeliest (default)"
    )
    command.add_argument("--seed", type=count_or_zero, default=0, help="of the draws (default: 0)")
    command.set_defaults(run=slicing.generate)


def _add_perplexity(commands: _Commands, parents: tuple[argparse.ArgumentParser, ...]) -> None:
    text = "how well a dense or sliced language model predicts a text"
    command = _add_runner(commands, parents, "perplexity", text)
    command.add_argument("--text", metavar="FILE", required=True)
    command.add_argument("--sequence-length", type=count, metavar="N", help="tokens per piece (default: at most 2048)")
    command.set_defaults(run=slicing.perplexity)


def _add_runner(
    commands: _Commands, parents: tuple[argparse.ArgumentParser, ...], name: str, text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text, parents=parents)
    command.add_argument("model", metavar="MODEL", help="folder, or a .pt of the published SliceGPT tool")
    command.add_argument("--config", metavar="PATH", help="config.json, or folder with it and the tokenizer, for a .pt")
    _add_place(command, "to compute in (default: as stored)")
    return command


def _add_place(command: argparse.ArgumentParser, dtype_help: str) -> None:
    command.add_argument("--device", default="cpu", help='where torch computes, as "cuda" (default: cpu)')
    command.add_argument("--dtype", choices=_DTYPES, help=dtype_help)
