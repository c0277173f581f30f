"""For tests: small sliced models that can be run, small adapters, and their files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from freebits_codecs.container.reader import BytesSource, ContainerReader
from freebits_codecs.container.records import SYMMETRIC
from freebits_codecs.files import encode_file
from freebits_codecs.symmetry.checkpoint import Checkpoint
from freebits_codecs.symmetry.floats import FLOAT_TYPES, Array, Words
from freebits_codecs.symmetry.form import RECIPE_KEY
from freebits_codecs.symmetry.safetensors_file import METADATA, Described, SafetensorsFile

EPSILON = 1e-5
Tensors = dict[str, Array]
Stored = dict[str, tuple[str, Words]]
"""By name: dtype and bit patterns."""


@dataclass(frozen=True, slots=True)
class Toy:
    """A sliced language model: `size` of `full` columns are left. `style` is "opt", "llama" or "phi" (parallel)."""

    style: str = "opt"
    layers: int = 2
    size: int = 24
    full: int = 32
    heads: int = 2
    inner: int = 56
    vocabulary: int = 61
    sliced_head: bool = False

    @property
    def prefix(self) -> str:
        return "model.decoder." if self.style == "opt" else "model."

    def tensors(self, seed: int = 0) -> Tensors:
        """Random weights; shortcuts are corners of orthogonal matrices, in no particular orientation."""
        draw = _Draw(np.random.default_rng(seed), self)
        tensors = {f"{self.prefix}embed_tokens.weight": draw.normal(self.vocabulary, self.size)}
        if self.style == "opt":
            tensors[f"{self.prefix}embed_positions.weight"] = draw.normal(self.vocabulary, self.size)
        for layer in range(self.layers):
            last = layer == self.layers - 1 and not self.sliced_head
            block = draw.block(self.full if last else self.size)
            tensors |= {f"{self.prefix}layers.{layer}.{name}": value for name, value in block.items()}
        width = self.size if self.sliced_head else self.full
        return tensors | {
            "lm_head.weight": draw.normal(self.vocabulary, width),
            "lm_head.bias": draw.normal(self.vocabulary),
        }

    def logits(self, tensors: Mapping[str, Array], tokens: list[int]) -> Array:
        """What the model computes, in float64; (tokens, vocabulary)."""
        x = tensors[f"{self.prefix}embed_tokens.weight"][tokens]
        if self.style == "opt":
            x = x + tensors[f"{self.prefix}embed_positions.weight"][: len(tokens)]
        for layer in range(self.layers):
            start = f"{self.prefix}layers.{layer}."
            x = self._run_block({k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}, x)
        logits: Array = self._norm(x) @ tensors["lm_head.weight"].T + tensors["lm_head.bias"]
        return logits

    def _run_block(self, block: Tensors, x: Array) -> Array:
        y = self._norm(x)
        attended = self._attend(block, y)
        if self.style == "phi":
            return x @ block["attn_shortcut_Q"] + attended + self._mlp(block, y)
        x = x @ block["attn_shortcut_Q"] + attended
        return x @ block["mlp_shortcut_Q"] + self._mlp(block, self._norm(x))

    def _norm(self, x: Array) -> Array:
        """Over the width before slicing, as SliceGPT does; without parameters."""
        scale = np.sqrt(np.square(x).sum(axis=-1, keepdims=True) / self.full + EPSILON)
        return np.asarray(x / scale)

    def _attend(self, block: Tensors, y: Array) -> Array:
        q, k, v = (_linear(block, f"self_attn.{name}_proj", y) for name in "qkv")
        split = (len(y), self.heads, -1)
        q, k, v = (x.reshape(split).transpose(1, 0, 2) for x in (q, k, v))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        scores = np.where(np.tril(np.ones(scores.shape[-2:])) > 0, scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (weights / weights.sum(axis=-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(y), -1)
        return _linear(block, f"self_attn.{OUT[self.style]}", mixed)

    def _mlp(self, block: Tensors, y: Array) -> Array:
        if self.style == "llama":
            gate = _linear(block, "mlp.gate_proj", y)
            return _linear(block, "mlp.down_proj", gate / (1 + np.exp(-gate)) * _linear(block, "mlp.up_proj", y))
        prefix = "mlp." if self.style == "phi" else ""
        return _linear(block, f"{prefix}fc2", np.maximum(_linear(block, f"{prefix}fc1", y), 0))


OUT = {"opt": "out_proj", "llama": "o_proj", "phi": "dense"}


def _linear(block: Tensors, name: str, x: Array) -> Array:
    return np.asarray(x @ block[f"{name}.weight"].T + block.get(f"{name}.bias", np.zeros(1)))


@dataclass(slots=True)
class _Draw:
    rng: np.random.Generator
    toy: Toy

    def normal(self, *shape: int) -> Array:
        return self.rng.normal(0, 0.3, shape)

    def corner(self, rows: int, columns: int) -> Array:
        """Of an orthogonal matrix."""
        full = max(self.toy.full, rows, columns)
        return np.linalg.qr(self.rng.normal(size=(full, full))).Q[:rows, :columns]

    def linear(self, name: str, out: int, into: int) -> Tensors:
        weight = {f"{name}.weight": self.normal(out, into)}
        return weight if self.toy.style == "llama" else weight | {f"{name}.bias": self.normal(out)}

    def block(self, size_after: int) -> Tensors:
        toy, size = self.toy, self.toy.size
        middle = size_after if toy.style == "phi" else size
        block = {"attn_shortcut_Q": self.corner(size, middle)}
        for name in "qkv":
            block |= self.linear(f"self_attn.{name}_proj", toy.full, size)
        block |= self.linear(f"self_attn.{OUT[toy.style]}", middle, toy.full)
        if toy.style != "phi":
            block["mlp_shortcut_Q"] = self.corner(size, size_after)
        if toy.style == "llama":
            block |= self.linear("mlp.gate_proj", toy.inner, size) | self.linear("mlp.up_proj", toy.inner, size)
            return block | self.linear("mlp.down_proj", size_after, toy.inner)
        prefix = "mlp." if toy.style == "phi" else ""
        return block | self.linear(f"{prefix}fc1", toy.inner, size) | self.linear(f"{prefix}fc2", size_after, toy.inner)


NAMES = {
    "peft": ("base_model.model.layers.{}.q_proj.lora_A.weight", "base_model.model.layers.{}.q_proj.lora_B.weight"),
    "kohya": ("lora_unet_block_{}.lora_down.weight", "lora_unet_block_{}.lora_up.weight"),
    "sam": ("w_a_{:03}", "w_b_{:03}"),
}


def adapter(pairs: int, rank: int, into: int = 64, out: int = 48, style: str = "peft", seed: int = 0) -> Tensors:
    """LoRA pairs; A (rank, into) and B (out, rank)."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}
    for pair in range(pairs):
        a, b = (name.format(pair) for name in NAMES[style])
        tensors[a] = rng.normal(0, 0.1, (rank, into))
        tensors[b] = rng.normal(0, 0.02, (out, rank))
    return tensors


def rounded(tensors: Mapping[str, Array], dtype: str) -> Stored:
    """Tensors as a file of that dtype holds them."""
    kind = FLOAT_TYPES[dtype]
    return {name: (dtype, kind.rounded(np.asarray(values))) for name, values in tensors.items()}


def write_folder(folder: Path, tensors: Stored, name: str = "model.safetensors") -> Path:
    """A checkpoint folder with one file of these tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    described = [Described(name, dtype, words.shape) for name, (dtype, words) in tensors.items()]
    file = SafetensorsFile(folder / name, described, {})
    for tensor, (_, words) in tensors.items():
        file.write(tensor, words.tobytes())
    file.finish()
    return folder


def read_values(folder: Path) -> Tensors:
    """All tensors of a checkpoint folder, as float64."""
    with Checkpoint(folder) as checkpoint:
        return {name: checkpoint.values(name) for name in checkpoint.names()}


@dataclass(slots=True)
class FormParts:
    """A symmetric form taken apart: change it and put it together again. Tensors are dtype, shape, bytes."""

    recipe: Any
    tensors: dict[str, tuple[str, list[int], bytes]]

    @staticmethod
    def of(container: bytes) -> FormParts:
        form = read_original(container)
        header, data = split_header(form)
        recipe = json.loads(header.pop(METADATA)[RECIPE_KEY])
        tensors = {
            name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
            for name, entry in header.items()
        }
        return FormParts(recipe, tensors)

    def form(self, **changes: Any) -> bytes:
        """The form; `changes` replaces entries of its header."""
        header: dict[str, Any] = {METADATA: {RECIPE_KEY: json.dumps(self.recipe)}}
        at = 0
        for name, (dtype, shape, data) in self.tensors.items():
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
            at += len(data)
        return join_header({**header, **changes}) + b"".join(data for _, _, data in self.tensors.values())

    def container(self, **changes: Any) -> bytes:
        return as_container(self.form(**changes))


def read_original(container: bytes) -> bytes:
    """The form in a container."""
    reader = ContainerReader(BytesSource(container), form=SYMMETRIC)
    return reader.read(0, reader.nbytes)


def as_container(form: bytes) -> bytes:
    """A container that says it holds a symmetric form."""
    container = BytesIO()
    encode_file(BytesIO(form), container, form=SYMMETRIC)
    return container.getvalue()


def split_header(file: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file."""
    nbytes = int.from_bytes(file[:8], "little")
    return json.loads(file[8 : 8 + nbytes]), file[8 + nbytes :]


def join_header(header: Any) -> bytes:
    """The bytes of a safetensors file before its data."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text
