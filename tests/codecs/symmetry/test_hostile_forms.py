"""Damaged and hostile symmetric forms: a typed error or the right bytes, and both expanders agree which."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from freebits_codecs import decode
from freebits_codecs.container.reader import BytesSource
from freebits_codecs.errors import CannotReproduce, CodecError, CorruptContainer, FormatError, LimitExceeded
from freebits_codecs.inspection import inspect_container
from freebits_codecs.reference import expand_container
from freebits_codecs.symmetry.form import HEAD_PART
from freebits_codecs.symmetry.testing import (
    FormParts,
    Toy,
    adapter,
    as_container,
    join_header,
    read_original,
    rounded,
    split_header,
)

TINY = {"size": 4, "full": 5, "inner": 3, "vocabulary": 3, "heads": 1}
KINDS = {
    "bits-back": ("llama", "F16", "bits-back", "entropy"),
    "bits-back-f32": ("llama", "F32", "bits-back", "entropy"),
    "words": ("opt", "BF16", "bits-back", "words"),
    "triangular": ("phi", "BF16", "gauge-triangular", "entropy"),
    "polar": ("phi", "F16", "gauge-polar", "entropy"),
    "pivots": ("adapter", "F16", "lora-gauge", "entropy"),
    "adapter": ("adapter", "BF16", "bits-back", "entropy"),
}
Small = tuple[bytes, bytes]
THOROUGH = int(os.environ.get("FREEBITS_TEST_THOROUGH", "1"))
"""How many times as many changes are tried."""


@pytest.fixture(params=KINDS)
def small(request, variant_of) -> Small:
    """A plain file and its container."""
    style, dtype, method, prior = KINDS[request.param]
    tensors = adapter(3, 3, 7, 6) if style == "adapter" else Toy(style, **{**TINY, "inner": 6}).tensors()
    file = variant_of(rounded(tensors, dtype), method, prior=prior).files[0]
    container = file.container.read_bytes()
    plain = decode(container)
    assert expand_container(container) == plain
    return plain, container


def outcome(read: Callable[[bytes], bytes], container: bytes) -> bytes | CodecError:
    """What reading gives, or the error, which must not be longer than people read."""
    try:
        return read(container)
    except CodecError as error:
        refused = error
    assert len(str(refused)) < 600
    return refused


def assert_refused_alike(container: bytes, plain: bytes | None = None, hint: object = None) -> CodecError | bytes:
    """Both expanders give `plain`, or both refuse; inspecting does not fail otherwise."""
    found, by_reference = outcome(decode, container), outcome(expand_container, container)
    assert isinstance(found, CodecError) == isinstance(by_reference, CodecError), (hint, found, by_reference)
    if isinstance(found, bytes):
        assert found == plain == by_reference, hint
    with contextlib.suppress(CodecError):
        inspect_container(BytesSource(container))
    return found


def test_every_prefix_is_refused(small: Small) -> None:
    """A container cut anywhere."""
    _, container = small
    for length in range(0, len(container), 1 + len(container) // (150 * THOROUGH)):
        assert isinstance(outcome(decode, container[:length]), FormatError), length


def test_bit_flips_are_refused(small: Small) -> None:
    """A bit of the container, behind checksums."""
    _, container = small
    damaged = bytearray(container)
    for bit in range(0, 8 * len(container), 1 + 8 * len(container) // (150 * THOROUGH)):
        damaged[bit // 8] ^= 1 << bit % 8
        assert isinstance(outcome(decode, bytes(damaged)), CodecError), bit
        damaged[bit // 8] ^= 1 << bit % 8


def test_prefixes_of_a_form_are_refused(small: Small) -> None:
    """A form cut anywhere, in a sound container."""
    form = read_original(small[1])
    lengths = {*range(20), *range(20, len(form), 1 + len(form) // (20 * THOROUGH))}
    for length in sorted(lengths):
        assert isinstance(assert_refused_alike(as_container(form[:length])), CodecError), length


def test_bit_flips_of_a_form_are_refused(small: Small) -> None:
    """A bit of the form, in a sound container: right or refused."""
    plain, container = small
    form = bytearray(read_original(container))
    rng = np.random.default_rng(len(form))
    for bit in rng.integers(0, 8 * len(form), 40 * THOROUGH).tolist():
        form[bit // 8] ^= 1 << bit % 8
        assert_refused_alike(as_container(bytes(form)), plain, bit)
        form[bit // 8] ^= 1 << bit % 8


HOSTILE: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 1.0, 2.5, float("nan"), float("inf"), 1 << 16, 1 << 31, 1 << 63, 10**400),
    *("", "words", "F32", "F64", "I8", "freebits.head", "freebits.nothing", "lm_head.weight", "\ud800", "x" * 10_000),
    *([], [[]], [1], [0, 0], [65536], [-1, 65537], {}, {"push": "lm_head.weight"}),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value; of long lists the first two and the last."""
    yield path
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    for key in keys if len(keys) < 8 or isinstance(value, dict) else [0, 1, len(keys) - 1]:
        yield from places(value[key], (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at a place."""
    if not path:
        return new
    changed = copy.deepcopy(value)
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = new
    return changed


def without(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy without what is at a place."""
    changed = copy.deepcopy(value)
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    del inside[path[-1]]
    return changed


def test_every_field_of_a_recipe_changed(small: Small) -> None:
    """Wrong types, huge numbers, names of other tensors, at every place; a place missing."""
    plain, container = small
    parts = FormParts.of(container)
    recipe = parts.recipe
    for path, new in changes_of(recipe, 70, extra=list(parts.tensors)):
        parts.recipe = replaced(recipe, path, new)
        assert_refused_alike(parts.container(), plain, (path, new))
    for path in sampled([path for path in places(recipe) if path], 15):
        parts.recipe = without(recipe, path)
        assert_refused_alike(parts.container(), plain, (path, "missing"))


def test_every_field_of_a_header_changed(small: Small) -> None:
    """The same of the form's own header."""
    plain, container = small
    parts = FormParts.of(container)
    header, data = split_header(parts.form())
    for path, new in changes_of(header, 30):
        assert_refused_alike(as_container(join_header(replaced(header, path, new)) + data), plain, (path, new))


def test_every_field_of_the_plain_header_changed(small: Small) -> None:
    """And of the header that the plain file is to have."""
    plain, container = small
    parts = FormParts.of(container)
    header, original_nbytes = split_header(parts.tensors[HEAD_PART][2])[0], len(parts.tensors[HEAD_PART][2])
    for path, new in changes_of(header, 15):
        head = join_header(replaced(header, path, new))
        parts.tensors[HEAD_PART] = ("U8", [len(head)], head)
        for nbytes in (len(plain), len(plain) + len(head) - original_nbytes):
            parts.recipe["nbytes"] = nbytes
            assert_refused_alike(parts.container(), plain, (path, new))


def changes_of(value: Any, count: int, extra: Sequence[Any] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Places in a JSON value, each with something that does not belong there."""
    everywhere = [path for path in places(value) if path[:1] != ("__metadata__",)]
    return sampled([(path, new) for path in everywhere for new in [*HOSTILE, *extra]], count)


def sampled(choices: list[Any], count: int) -> list[Any]:
    """Some of the choices, the same every time."""
    order = np.random.default_rng(len(choices)).permutation(len(choices))
    return [choices[at] for at in order[: count * THOROUGH]]


def test_every_part_replaced(small: Small) -> None:
    """Parts of zeros, of ones, of noise, of another length, missing, and under another's name."""
    plain, container = small
    rng = np.random.default_rng(3)
    for name, (dtype, shape, data) in sampled(list(FormParts.of(container).tensors.items()), 12):
        item = len(data) // max(int(np.prod(shape)), 1) or 1
        longer = data + rng.bytes(item)
        swaps: list[tuple[str, list[int], bytes] | None] = [
            *((dtype, shape, new) for new in (bytes(len(data)), b"\xff" * len(data), rng.bytes(len(data)))),
            *((dtype, [len(new) // item], new) for new in (longer, data[item:], b"")),
            ("U8", [len(data)], data),
            (dtype, [1, *shape], data),
            (dtype, [*shape, 1], data),
            None,
        ]
        for new in sampled(swaps, 2):
            parts = FormParts.of(container)
            if new is None:
                del parts.tensors[name]
            else:
                parts.tensors[name] = new
            assert_refused_alike(parts.container(), plain, (name, new))


def steps_of(parts: FormParts) -> list[Any]:
    steps: list[Any] = parts.recipe["stack"]["steps"]
    return steps


@pytest.fixture
def hidden(variant_of) -> FormParts:
    """A form with two turns and two hidden tensors."""
    tensors = rounded(Toy("llama", **{**TINY, "inner": 6}).tensors(), "F16")
    return FormParts.of(variant_of(tensors, "bits-back").files[0].container.read_bytes())


def test_tensors_given_twice_are_refused(hidden: FormParts) -> None:
    """Popped twice; popped and made; a step of another's."""
    push = next(step for step in steps_of(hidden) if "push" in step)
    turn = next(step for step in steps_of(hidden) if "push" not in step)
    for extra in (push, turn, {**push, "push": "lm_head.weight"}):
        parts = copy.deepcopy(hidden)
        steps_of(parts).append(extra)
        assert isinstance(assert_refused_alike(parts.container()), CorruptContainer)
    hidden.recipe["made"] = {push["push"]: {"as": "triangle", "part": "freebits.stack"}}
    assert isinstance(assert_refused_alike(hidden.container()), CorruptContainer)


def test_hidden_anchors_are_refused(hidden: FormParts) -> None:
    """A rotation cannot be found in what is hidden behind it, nor in a part."""
    push = next(step for step in steps_of(hidden) if "push" in step)
    turn = next(step for step in steps_of(hidden) if "push" not in step)
    for name in (push["push"], "freebits.stack", "nothing"):
        turn["anchors"][0][0] = name
        assert isinstance(assert_refused_alike(hidden.container()), CorruptContainer)


def test_steps_in_another_order_are_refused(hidden: FormParts) -> None:
    """Whatever comes off the stack then, it is not the file."""
    steps_of(hidden).reverse()
    assert isinstance(assert_refused_alike(hidden.container()), CodecError)


def test_eigenvalues_that_are_no_numbers_are_refused(hidden: FormParts) -> None:
    """NaN, infinity, and what would be too large."""
    name = next(name for name in hidden.tensors if name.startswith("freebits.eigenvalues"))
    dtype, shape, data = hidden.tensors[name]
    for value in (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e20):
        changed = np.frombuffer(data, "<f4").copy()
        changed[0] = value
        hidden.tensors[name] = (dtype, shape, changed.tobytes())
        assert isinstance(assert_refused_alike(hidden.container()), CorruptContainer)


def test_a_changed_eigenvalue_is_noticed(hidden: FormParts) -> None:
    """By the digest, or by what is left on the stack."""
    name = next(name for name in hidden.tensors if name.startswith("freebits.eigenvalues"))
    dtype, shape, data = hidden.tensors[name]
    hidden.tensors[name] = (dtype, shape, (np.frombuffer(data, "<f4") * np.float32(1.01)).tobytes())
    assert isinstance(assert_refused_alike(hidden.container()), CorruptContainer | CannotReproduce)


def test_too_few_rows_for_a_turn_are_refused(hidden: FormParts) -> None:
    """A square matrix as large as a wide anchor's rows would ask for memory that nothing paid for."""
    wide = 1 << 15
    head, _ = split_header(hidden.tensors[HEAD_PART][2])
    turn = next(step for step in steps_of(hidden) if "push" not in step)
    turn |= {"size": wide, "anchors": [["wide", 1]]}
    at = max(entry["data_offsets"][1] for name, entry in head.items() if name != "__metadata__")
    head["wide"] = {"dtype": "F16", "shape": [1, wide], "data_offsets": [at, at + 2 * wide]}
    packed = join_header(head)
    hidden.tensors[HEAD_PART] = ("U8", [len(packed)], packed)
    hidden.tensors["wide"] = ("F16", [1, wide], bytes(2 * wide))
    hidden.recipe["nbytes"] = len(packed) + at + 2 * wide
    found = assert_refused_alike(hidden.container())
    assert isinstance(found, CorruptContainer)
    assert "rows of anchors" in str(found)


@pytest.mark.parametrize("nbytes", [1 << 30, 1 << 47, 1 << 62])
def test_a_plain_file_far_longer_than_its_form_is_refused(hidden: FormParts, nbytes: int) -> None:
    """Before anything is allocated or written."""
    hidden.recipe["nbytes"] = nbytes
    with pytest.raises(LimitExceeded, match=f"is {nbytes}, the limit is"):
        decode(hidden.container())


def made_form(shape: list[int], step: dict[str, Any], parts: dict[str, tuple[str, list[int], bytes]]) -> bytes:
    """A container that makes one F16 tensor."""
    nbytes = 2 * int(np.prod(shape))
    head = join_header({"t": {"dtype": "F16", "shape": shape, "data_offsets": [0, nbytes]}})
    recipe = {"version": 1, "nbytes": len(head) + nbytes, "sha256": "0" * 64, "made": {"t": step}}
    return FormParts(recipe, {HEAD_PART: ("U8", [len(head)], head), **parts}).container()


def test_matrices_of_too_many_rows_are_refused() -> None:
    """65,537 rows; a form long enough for the file that it names."""
    filling = {"freebits.filling": ("U8", [1 << 22], bytes(1 << 22))}
    part = ("F16", [65537], bytes(2 * 65537))
    found = outcome(
        decode, made_form([65537, 1], {"as": "polar", "rank": 0, "part": "freebits.p"}, {"freebits.p": part, **filling})
    )
    assert isinstance(found, LimitExceeded)


@pytest.mark.parametrize("rank", [-1, 4, 1 << 40, True, 1.0])
def test_ranks_beyond_the_matrix_are_refused(rank: Any) -> None:
    """A polar factor has at most as many columns as rows."""
    part = {"freebits.p": ("F16", [6], bytes(12))}
    found = assert_refused_alike(made_form([3, 3], {"as": "polar", "rank": rank, "part": "freebits.p"}, part))
    assert isinstance(found, CorruptContainer)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.9, 2.0, 60000.0])
def test_polar_factors_that_do_not_add_exactly_are_refused(value: float) -> None:
    """Their products would depend on the order of the sums."""
    data = np.array([value, 0, 0], "<f2").tobytes()
    step = {"as": "polar", "rank": 1, "part": "freebits.p"}
    found = assert_refused_alike(made_form([3, 3], step, {"freebits.p": ("F16", [3], data)}))
    assert isinstance(found, CorruptContainer)


@pytest.mark.parametrize("pivots", [[1, 0], [0, 0], [0, 4], [0], [0, 1, 2], [0, (1 << 32) - 1]])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, True, None, 1.0])
def test_pivots_that_are_none_are_refused(pivots: list[int], axis: Any) -> None:
    """Repeated, out of order or out of range."""
    step = {"as": "pivots", "axis": axis, "part": "freebits.p", "pivots": "freebits.v"}
    shape = [4, 2] if axis == 0 else [2, 4]
    parts = {
        "freebits.p": ("F16", [2, 2], bytes(8)),
        "freebits.v": ("U32", [len(pivots)], np.array(pivots, "<u4").tobytes()),
    }
    assert isinstance(assert_refused_alike(made_form(shape, step, parts)), CorruptContainer)


def test_json_that_python_cannot_read_is_refused() -> None:
    """Nested too deep, of too many digits, not UTF-8, of keys that are there twice."""
    texts = [
        *(
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"1" * 10_000,
            b"\xff\xfe{\x00}\x00",
            b"\xef\xbb\xbf{}",
            b"",
            b"null",
            b"[]",
        ),
        b'{"__metadata__":{"freebits.recipe":"{}"},"__metadata__":{"freebits.recipe":"{}"}}',
        json.dumps({"__metadata__": {"freebits.recipe": "[" * 100_000}}).encode(),
        json.dumps({"__metadata__": {"freebits.recipe": "\ud800"}}).encode(),
        json.dumps({"__metadata__": {"freebits.recipe": '{"version":1,"version":1}'}}).encode(),
        json.dumps({"__metadata__": {"freebits.recipe": '{"version":' + "9" * 5000 + "}"}}).encode(),
        json.dumps({"__metadata__": {"freebits.recipe": "{}", "format": "pt"}}).encode(),
    ]
    for text in texts:
        assert isinstance(assert_refused_alike(as_container(len(text).to_bytes(8, "little") + text)), CodecError)
    for nbytes in (0, 1, 7, 100_000_001, (1 << 64) - 1):
        found = assert_refused_alike(as_container(nbytes.to_bytes(8, "little") + b"{}"))
        assert isinstance(found, CodecError)


def test_newer_recipes_are_told_apart(hidden: FormParts) -> None:
    """From damage: upgrading helps."""
    hidden.recipe["version"] = 2
    for read in (decode, expand_container):
        assert "recipe" in str(outcome(read, hidden.container()))
        assert "2 exceeds supported 1" in str(outcome(read, hidden.container()))


def test_refusing_takes_little_memory(refuse_in_little_memory: Callable[[Sequence[bytes]], None]) -> None:
    """Forms that declare gigabytes are refused in a process that may have 160 MiB more than it has."""
    turn = {"dtype": "F16", "size": 1 << 16, "anchors": [["t", 1]], "reach": 0, "weights": [65536]}
    turn |= dict.fromkeys(("eigenvalues", "corrections", "positions", "ordinals"), "freebits.p")
    small = {"freebits.p": ("F16", [0], b""), "freebits.stack": ("U32", [0], b"")}
    stack = {"prior": "entropy", "part": "freebits.stack", "steps": [turn]}
    table = {"push": "t", "first": 0, "weights": [65536]}
    hostile = [
        made_form([1 << 16, 1 << 16], {"as": "triangle", "part": "freebits.p"}, small),
        made_form([1 << 16, 1 << 16], {"as": "polar", "rank": 0, "part": "freebits.p"}, small),
        made_form([1 << 16, 1 << 40], {"as": "polar", "rank": 1 << 16, "part": "freebits.p"}, small),
        made_form([0, 1 << 47], {"as": "triangle", "part": "freebits.p"}, small),
        made_form([1 << 47, 0], {"as": "pivots", "axis": 0, "part": "freebits.p", "pivots": "freebits.p"}, small),
        stacked_form([1, 1 << 16], stack, {**small, "t": ("F16", [1, 1 << 16], bytes(2 << 16))}),
        stacked_form([1 << 20, 1 << 12], {**stack, "steps": [table]}, small),
    ]
    refuse_in_little_memory(hostile)


def stacked_form(shape: list[int], stack: dict[str, Any], parts: dict[str, tuple[str, list[int], bytes]]) -> bytes:
    """A container whose only tensor is kept or hidden on a stack."""
    nbytes = 2 * int(np.prod(shape))
    head = join_header({"t": {"dtype": "F16", "shape": shape, "data_offsets": [0, nbytes]}})
    recipe = {"version": 1, "nbytes": len(head) + nbytes, "sha256": "0" * 64, "stack": stack}
    return FormParts(recipe, {HEAD_PART: ("U8", [len(head)], head), **parts}).container()
