"""A small Llama trained on the sources of Python's standard library, which every machine that runs this has."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM

HIDDEN, LAYERS, INNER, HEADS, VOCABULARY = 256, 4, 688, 8, 2048
STEPS, BATCH, LENGTH, RATE = 300, 16, 256, 3e-3
TRAINING_NBYTES, OTHER_NBYTES = 8_000_000, 400_000


def train_model(folder: Path) -> tuple[Path, Path, Path]:
    """Folder of the model, text to calibrate on and text to evaluate on; what `folder` has is used again."""
    model, calibration, evaluation = folder / "model", folder / "calibration.txt", folder / "evaluation.txt"
    if not (model / "model.safetensors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        text = _standard_library()
        training, rest = text[:TRAINING_NBYTES], text[TRAINING_NBYTES:]
        calibration.write_text(rest[:OTHER_NBYTES])
        evaluation.write_text(rest[OTHER_NBYTES : OTHER_NBYTES + OTHER_NBYTES // 4])
        _train(training, model)
    return model, calibration, evaluation


def _standard_library() -> str:
    """Its modules in an order that mixes packages; ASCII only."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    paths += sorted(
        path for path in Path(sysconfig.get_paths()["stdlib"]).glob("*/*.py") if "site-packages" not in path.parts
    )
    order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(1)).tolist()
    return "".join(paths[at].read_bytes().decode("ascii", "ignore") for at in order)


def _train(text: str, folder: Path) -> None:
    torch.manual_seed(1)
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator([text], vocab_size=VOCABULARY, show_progress=False)
    ids = torch.tensor(tokenizer.encode(text).ids)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        starts = torch.randint(len(ids) - LENGTH - 1, (BATCH,))
        batch = torch.stack([ids[start : start + LENGTH] for start in starts])
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
