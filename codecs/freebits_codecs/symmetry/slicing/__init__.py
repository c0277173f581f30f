"""SliceGPT: smaller language models by leaving out directions that the residual stream hardly uses.

`slice_folder` makes a sliced model from a Hugging Face folder and a calibration text; `load_sliced` runs it, or one of
the published tool; `load_dense` runs the original, for comparison. Needs torch and tokenizers, which
`pip install "freebits[symmetry]"` brings.
"""

# ruff: noqa: E402  a missing library is explained before anything needs it

from __future__ import annotations

from importlib.util import find_spec

from freebits_codecs.errors import MissingLibrary

for _library in ("torch", "tokenizers"):
    if find_spec(_library) is None:
        raise MissingLibrary(_library, "slicing and running models", "symmetry")

from freebits_codecs.symmetry.slicing.calibration import encode_text, read_text, read_tokenizer
from freebits_codecs.symmetry.slicing.device import parse_dtype
from freebits_codecs.symmetry.slicing.errors import InvalidSlicing, NotSliced, UnsupportedModel, UnusableCheckpoint
from freebits_codecs.symmetry.slicing.folder import SlicingSummary, slice_folder
from freebits_codecs.symmetry.slicing.loading import load, load_dense, load_sliced
from freebits_codecs.symmetry.slicing.model import Model
from freebits_codecs.symmetry.slicing.perplexity import perplexity
from freebits_codecs.symmetry.slicing.slicer import SlicingOptions

__all__ = [
    "InvalidSlicing",
    "Model",
    "NotSliced",
    "SlicingOptions",
    "SlicingSummary",
    "UnsupportedModel",
    "UnusableCheckpoint",
    "encode_text",
    "load",
    "load_dense",
    "load_sliced",
    "parse_dtype",
    "perplexity",
    "read_text",
    "read_tokenizer",
    "slice_folder",
]
