"""freebits: the client of a model hub that stores checkpoints compressed and gives them back bit for bit.

    hub = freebits.Hub("https://hub.example.org", token)
    hub.push("llama-7b/", "alice/llama-7b")
    hub.pull("alice/llama-7b", "here/")
    with hub.open("alice/llama-7b", "model.safetensors") as tensors:
        tensors["lm_head.weight"]

Names are loaded when first used: importing this package costs neither numpy nor httpx nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freebits import errors
    from freebits.async_client import AsyncHub
    from freebits.client import Hub
    from freebits.errors import APIError, FreebitsError, IntegrityError, TransportError
    from freebits.opening import TensorFile, open
    from freebits_codecs import decode, decode_file, encode, encode_file

__all__ = [
    "APIError",
    "AsyncHub",
    "FreebitsError",
    "Hub",
    "IntegrityError",
    "TensorFile",
    "TransportError",
    "decode",
    "decode_file",
    "encode",
    "encode_file",
    "errors",
    "open",
]

_HOMES = {
    "AsyncHub": "freebits.async_client",
    "Hub": "freebits.client",
    "APIError": "freebits.errors",
    "FreebitsError": "freebits.errors",
    "IntegrityError": "freebits.errors",
    "TransportError": "freebits.errors",
    "TensorFile": "freebits.opening",
    "open": "freebits.opening",
    "decode": "freebits_codecs",
    "decode_file": "freebits_codecs",
    "encode": "freebits_codecs",
    "encode_file": "freebits_codecs",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("freebits.errors")
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("freebits")
    if name not in _HOMES:
        raise AttributeError(f"module 'freebits' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
