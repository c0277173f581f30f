"""(11) Symmetric forms: the plain file of a container, by plain Python and numpy's eigenvectors."""

from __future__ import annotations

import hashlib
import re

from freebits_codecs.errors import CannotReproduce, CorruptContainer, LimitExceeded, UnsupportedFormat
from freebits_codecs.reference.bits_back import unwind_stack
from freebits_codecs.reference.container import decode_container
from freebits_codecs.reference.form import Entry, Fields, Tensor, parse_json, read_head, read_tensors
from freebits_codecs.reference.made import make_tensor

SYMMETRIC = 1
MAX_GROWTH = 64
PART = "freebits."
HEAD, RECIPE = "freebits.head", "freebits.recipe"


def expand_container(data: bytes) -> bytes:
    """The plain file of a container that holds a symmetric form."""
    return expand_form(decode_container(data, form=SYMMETRIC))


def expand_form(form: bytes) -> bytes:
    """(11.1) The plain file that a form describes."""
    metadata, tensors = read_tensors(form)
    if list(metadata) != [RECIPE]:
        raise CorruptContainer("metadata of a form", found=list(metadata), expected=[RECIPE])
    recipe = Fields(parse_json(metadata[RECIPE], "recipe"), "recipe")
    version = recipe.number("version", 1, 1 << 32)
    if version != 1:
        raise UnsupportedFormat(found=version, supported=1, what="version of a recipe")
    parts = {name: tensor for name, tensor in tensors.items() if name.startswith(PART)}
    kept = {name: tensor for name, tensor in tensors.items() if name not in parts}
    if HEAD not in parts or parts[HEAD].dtype != "U8":
        raise CorruptContainer("head of the plain file", found=None, expected=f"{HEAD}, U8")
    head = parts[HEAD].data
    head_nbytes, _, entries = read_head(head)
    nbytes = len(head) + sum(entry.nbytes for entry in entries.values())
    if nbytes > MAX_GROWTH * len(form):
        raise LimitExceeded("bytes of the plain file", found=nbytes, limit=MAX_GROWTH * len(form))
    if any(name.startswith(PART) for name in entries):
        raise CorruptContainer("tensor of the plain file", found="a part's name", expected="another")
    if head_nbytes != len(head) or recipe.number("nbytes", 0, 1 << 63) != nbytes:
        raise CorruptContainer("bytes of the plain file", found=nbytes, expected=recipe.number("nbytes", 0, 1 << 63))
    plain = head + b"".join(_tensors(recipe, entries, kept, parts))
    found, expected = hashlib.sha256(plain).hexdigest(), recipe.text("sha256")
    if not re.fullmatch("[0-9a-f]{64}", expected):
        raise CorruptContainer("sha256 of the recipe", found=expected, expected="64 hexadecimal digits")
    if found != expected:
        raise CannotReproduce("plain file", found=found, expected=expected)
    return plain


def _tensors(recipe: Fields, head: dict[str, Entry], kept: dict[str, Tensor], parts: dict[str, Tensor]) -> list[bytes]:
    """The tensors of the head, each given exactly once."""
    for name, tensor in kept.items():
        if name not in head or (head[name].dtype, head[name].shape) != (tensor.dtype, tensor.shape):
            raise CorruptContainer("kept tensor", found=name, expected="a tensor of the head, as it is there")
    given: dict[str, bytes] = {name: tensor.data for name, tensor in kept.items()}
    if "made" in recipe:
        made = recipe.object("made")
        for name in made:
            if name not in head or name in given:
                raise CorruptContainer("made tensor", found=name, expected="a tensor of the head, once")
            given[name] = make_tensor(made.object(name), head[name], parts)
    if "stack" in recipe:
        hidden = unwind_stack(recipe.object("stack"), head, kept, parts)
        if given.keys() & hidden.keys():
            raise CorruptContainer("hidden tensors", found=sorted(given.keys() & hidden.keys()), expected="others")
        given |= hidden
    if given.keys() != head.keys():
        raise CorruptContainer("tensors", found="one that is not given", expected="all of the head")
    return [given[name] for name in head]
