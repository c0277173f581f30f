"""What transformers, peft and diffusers do against a hub. Run by the Python of an environment that has them.

    HF_ENDPOINT=... HF_TOKEN=... python library_checks.py CHECKPOINT_FOLDER

CHECKPOINT_FOLDER is a small causal language model. The last line printed is JSON, as of ``client_checks.py``.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
import uuid
from pathlib import Path

import torch
from diffusers import UNet2DModel
from huggingface_hub import HfApi
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

api = HfApi()
user = api.whoami()["name"]
run = uuid.uuid4().hex[:8]


def text_of(source: str | Path) -> str:
    """What a model writes, without chance."""
    model = AutoModelForCausalLM.from_pretrained(source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokens = tokenizer("Once upon a time", return_tensors="pt")
    return str(tokenizer.decode(model.generate(**tokens, max_new_tokens=40, do_sample=False)[0]))


def same_weights(left: torch.nn.Module, right: torch.nn.Module) -> bool:
    """Bit for bit."""
    mine, theirs = left.state_dict(), right.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def transformers_by_name(folder: Path) -> None:
    """A model is loaded from the hub by its name, and writes the same text as from disk."""
    repo = f"{user}/stories-{run}"
    api.create_repo(repo)
    api.upload_folder(repo_id=repo, folder_path=str(folder))
    expected = text_of(folder)
    assert len(expected) > 60, expected
    assert text_of(repo) == expected


def transformers_sharded(folder: Path) -> None:
    """push_to_hub in shards, and from_pretrained of them."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    repo = f"{user}/sharded-{run}"
    model.push_to_hub(repo, max_shard_size="200KB")
    files = api.list_repo_files(repo)
    assert sum(name.endswith(".safetensors") for name in files) > 1, files
    assert "model.safetensors.index.json" in files
    assert same_weights(AutoModelForCausalLM.from_pretrained(repo), model)


def peft_adapter(folder: Path) -> None:
    """An adapter beside its base model."""
    base = AutoModelForCausalLM.from_pretrained(folder)
    adapted = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    repo = f"{user}/adapter-{run}"
    adapted.push_to_hub(repo)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), repo)
    assert same_weights(loaded, adapted)


def diffusers_model(folder: Path) -> None:
    """A small UNet, both ways."""
    model = UNet2DModel(
        sample_size=8,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    repo = f"{user}/unet-{run}"
    model.push_to_hub(repo)
    assert same_weights(UNet2DModel.from_pretrained(repo), model)


def datasets_file(folder: Path) -> None:
    """A folder of a dataset, by the library's snapshot."""
    repo = f"{user}/set-{run}"
    api.create_repo(repo, repo_type="dataset")
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "train.csv").write_text("a,b\n1,2\n")
        api.upload_folder(repo_id=repo, folder_path=name, repo_type="dataset")
    found = Path(api.snapshot_download(repo, repo_type="dataset"))
    assert (found / "train.csv").read_text() == "a,b\n1,2\n"


def main() -> None:
    """Run all checks."""
    outcomes: dict[str, str] = {}
    for check in (transformers_by_name, transformers_sharded, peft_adapter, diffusers_model, datasets_file):
        try:
            check(Path(sys.argv[1]))
            outcomes[check.__name__] = "ok"
        except Exception as error:
            traceback.print_exc()
            outcomes[check.__name__] = f"{type(error).__name__}: {error}"[:500]
    print(json.dumps({"checks": outcomes}))


if __name__ == "__main__":
    main()
