"""slice, generate, perplexity: language models on this machine, no hub.

torch takes seconds to load, so every command imports the library when it runs.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freebits.cli.terminal import bar, show, size
from freebits.errors import UsageError
from freebits.progress import Progress

if TYPE_CHECKING:
    from freebits_codecs.symmetry.slicing import SlicingSummary

MAX_SEQUENCE_LENGTH = 2048
"""Of the pieces that perplexity is measured on, unless another is asked for or the model has fewer positions."""


def slice_model(options: Namespace) -> int:
    """`freebits slice MODEL_DIR --sparsity S --calibration FILE -o OUT`"""
    with _library() as slicing:
        settings = slicing.SlicingOptions(
            sparsity=options.sparsity,
            round_interval=options.round_interval,
            orientation=options.orientation,
            seed=options.seed,
            batch_size=options.batch,
            device=options.device,
            dtype=slicing.parse_dtype(options.dtype),
        )
        judge = _judge(slicing, options) if options.evaluate else None
        # The dense model goes first: a text that cannot be used is found before the long work.
        before = judge(options.model) if judge else None
        with bar(options, "slice") as progress:
            summary = slicing.slice_folder(
                options.model,
                options.output,
                options.calibration,
                settings,
                samples=options.samples,
                sequence_length=options.sequence_length,
                report=_reporting(progress),
            )
        after = judge(options.output) if judge else None
    facts = _facts(options, summary) | ({"perplexity": {"before": before, "after": after}} if judge else {})
    text = _sentence(options, summary) + (f"\nperplexity {before:.3f} before, {after:.3f} after" if judge else "")
    show(options, facts, text)
    return 0


def generate(options: Namespace) -> int:
    """`freebits generate MODEL --prompt TEXT`"""
    with _library() as slicing:
        tokenizer = slicing.read_tokenizer(_config_folder(options))
        prompt = slicing.encode_text(tokenizer, options.prompt).tolist()
        model = _load(slicing, options)
        new = model.generate(prompt, options.max_new_tokens, temperature=options.temperature, seed=options.seed)
        text = tokenizer.decode(prompt + new)
    show(options, {"text": text, "prompt_tokens": len(prompt), "new_tokens": len(new)}, text)
    return 0


def perplexity(options: Namespace) -> int:
    """`freebits perplexity MODEL --text FILE`"""
    with _library() as slicing:
        token_ids = _token_ids(slicing, _config_folder(options), options.text)
        found = _perplexity(slicing, _load(slicing, options), token_ids, options.sequence_length)
    show(options, {"perplexity": found, "tokens": len(token_ids)}, f"{found:.3f}")
    return 0


@contextmanager
def _library() -> Iterator[Any]:
    """The library; options that do not fit the model become UsageError. Raises MissingLibrary."""
    from freebits_codecs.symmetry import slicing  # noqa: PLC0415

    try:
        yield slicing
    except slicing.InvalidSlicing as error:
        raise UsageError(str(error)) from None


def _load(slicing: Any, options: Namespace) -> Any:
    dtype = slicing.parse_dtype(options.dtype)
    return slicing.load(options.model, config=options.config, device=options.device, dtype=dtype)


def _config_folder(options: Namespace) -> Path:
    """Where the tokenizer is: beside the config."""
    place = Path(options.config or options.model)
    return place if place.is_dir() else place.parent


def _judge(slicing: Any, options: Namespace) -> Callable[[str], float]:
    """Perplexity of the model in a folder on the text of --evaluate, in the type its weights are stored in."""
    token_ids = _token_ids(slicing, options.model, options.evaluate)

    def judge(folder: str) -> float:
        return _perplexity(slicing, slicing.load(folder, device=options.device), token_ids, options.sequence_length)

    return judge


def _token_ids(slicing: Any, folder: str | Path, text: str) -> Any:
    return slicing.encode_text(slicing.read_tokenizer(folder), slicing.read_text(text))


def _perplexity(slicing: Any, model: Any, token_ids: Any, sequence_length: int | None) -> float:
    length = sequence_length or min(MAX_SEQUENCE_LENGTH, model.config.max_positions)
    found: float = slicing.perplexity(model, token_ids, length)
    return found


def _reporting(progress: Progress) -> Callable[[int, int, int], None]:
    """Turns running totals into steps of the bar."""
    seen = [0, 0]

    def report(done: int, total: int, left: int) -> None:
        if seen == [0, 0]:
            progress.expect(total)
        progress.advance(done - seen[0], left - seen[1])
        seen[:] = [done, left]

    return report


def _facts(options: Namespace, summary: SlicingSummary) -> dict[str, Any]:
    return {
        "input": options.model,
        "output": options.output,
        "nbytes": summary.nbytes,
        "sliced_nbytes": summary.sliced_nbytes,
        "ratio": summary.nbytes / max(summary.sliced_nbytes, 1),
        "hidden_size": summary.widths.hidden_size,
        "slot_widths": summary.widths.slot_widths,
    }


def _sentence(options: Namespace, summary: SlicingSummary) -> str:
    before, after = size(summary.nbytes), size(summary.sliced_nbytes)
    widths = summary.widths
    kept = f"{widths.slot_widths[0]} of {widths.hidden_size} directions kept"
    return f"{options.output}: {before} dense, {after} sliced, {kept}"
