"""What a file of weights holds, as one number: the digest by which a run names the weights that it starts from.

Read without torch, so that a table can tell whether the weights in a folder are those that it is about.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from levelfield.errors import UserError

WEIGHTS_DIGEST: Final = "weights_digest"
"""Key of result.json: the digest of the weights that were tested."""
TORCH_NAMES: Final = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool", "U64": "uint64", "U32": "uint32", "U16": "uint16",
    "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip
"""torch's names of the format's dtypes (https://github.com/huggingface/safetensors, "Format"); a newer one keeps its
own, so that no run fails at its end for it."""


def content_digest(path: Path) -> str:
    """SHA-256 over the names, dtypes, shapes and bytes of a .safetensors file's tensors, in the order of their names.

    Equal to `levelfield.models.weights_digest` of the same tensors, however they are stored. Raises UserError for a
    file of another format.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
            header.pop("__metadata__", None)
            for name, tensor in sorted(header.items()):
                shape, (start, end) = tuple(tensor["shape"]), tensor["data_offsets"]
                digest.update(f"{name} torch.{TORCH_NAMES.get(kind := tensor['dtype'], kind)} {shape}\n".encode())
                file.seek(8 + size + start)
                digest.update(file.read(end - start))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError):
        raise UserError(f"{path} cannot be read as safetensors\nrestore it, or train the run again") from None
    return digest.hexdigest()
