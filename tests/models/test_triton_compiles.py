"""Every Triton kernel compiles for a GPU that is not there: to machine code of NVIDIA's Hopper (sm_90), in bfloat16."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

SCRIPT = """
import json
import triton, triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from levelfield.models.kernels import grid_attention_triton as grid, layer_norm_triton as norm
from levelfield.models.kernels import outlook_triton as outlook
from levelfield.models.kernels.tuned_blocks import DEFAULT

POINTERS = {name: "*bf16" for name in (
    "qkv", "out", "grad", "dqkv", "logits", "values", "dlogits", "dvalues", "x", "y", "dx"
)}
POINTERS |= {name: "*fp32" for name in ("sums", "means", "weights", "weight", "bias")}

def compiled(kernel, **constants):
    constants |= {"BLOCK": DEFAULT[0], "D": 32, "ACC": tl.float32}
    kinds = {name: POINTERS.get(name, "fp32" if name in ("scale", "eps") else "i32") for name in kernel.arg_names}
    kinds |= {name: "constexpr" for name in constants}
    values = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=kinds, constexprs=values)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": DEFAULT[1]})
    return {"machine code": len(made.asm["cubin"]), "shared": made.metadata.shared}

found = {"grid forward": compiled(grid._forward, TOKENS=16)}
found["grid queries"] = compiled(grid._backward_queries, TOKENS=16)
found["grid keys"] = compiled(grid._backward_keys, TOKENS=16)
found["outlook forward"] = compiled(outlook._forward)
found["outlook logits"] = compiled(outlook._backward_logits)
found["outlook values"] = compiled(outlook._backward_values)
found["norm forward"] = compiled(norm._forward)
found["norm backward"] = compiled(norm._backward)
print(json.dumps(found))
"""


def test_every_kernel_becomes_machine_code() -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed (it comes with torch's CUDA builds)")
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert len(found) == 8
    assert all(made["machine code"] > 1000 and made["shared"] < 48 * 1024 for made in found.values()), found
