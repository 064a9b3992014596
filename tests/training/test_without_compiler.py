"""torch's optimisers, our counter and timm do what they do, without torch's compiler until somebody has loaded it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
import torch
from torch import nn
from levelfield.cost import count_macs
from levelfield.spec import Optimizer
from levelfield.training.optimizers import _TORCH, make_optimizer

def trained(make):
    torch.manual_seed(0)
    net = nn.Linear(6, 4)
    optimizer = make(net)
    seen = []
    optimizer.register_step_post_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.ones(2, 6)).square().sum().backward()
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step(lambda: torch.zeros(()))
    assert torch.is_grad_enabled() and len(seen) == 4
    return [parameter.tolist() for parameter in net.parameters()]

def ours(name):
    spec = Optimizer(name=name, lr=0.01, weight_decay=0.0 if name == "rprop" else 0.01)  # which has none
    return lambda net: make_optimizer(spec, net)

def its_own(optimizer):
    settings = type(optimizer), [{**group, "params": list(group["params"])} for group in optimizer.param_groups]
    return lambda net: settings[0]([{**group, "params": [dict(net.named_parameters())[n] for n in group["names"]]}
                                    for group in settings[1]])

without = {name: trained(ours(name)) for name in [*_TORCH, "muon"]}
macs = count_macs(nn.Conv2d(3, 4, 3, bias=False), 5).total
loaded = "torch._dynamo" in sys.modules
import torch._dynamo
plain = {name: trained(its_own(ours(name)(nn.Linear(6, 4)))) for name in _TORCH}
again = {name: trained(ours(name)) for name in [*_TORCH, "muon"]}
marked = torch.optim.Optimizer.zero_grad.__wrapped__.__dict__["__dynamo_disable"]
print(json.dumps({
    "loaded": loaded, "equal_torch": [name for name in plain if plain[name] != without[name]],
    "equal_loaded": [name for name in again if again[name] != without[name]], "macs": macs,
    "marked": hasattr(marked, "_torchdynamo_disable"), "count": len(without),
}))
"""


def test_optimisers_step_alike_with_and_without_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "loaded": False, "equal_torch": [], "equal_loaded": [], "macs": 3 * 3 * 3 * 3 * 3 * 4, "marked": True,
        "count": 12,
    }  # fmt: skip


TIMM = """
import json, sys
import torch
from levelfield.models import create_model
from levelfield.without_compiler import import_without_compiler

model = create_model("resnet18_s1", 10).eval()
import timm, timm.layers._fx, torchvision
from timm.models.naflexvit import NaFlexEmbeds
align = sys.modules["torchvision.ops.roi_align"]
x, boxes = torch.ones(1, 3, 8, 8), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])]
aligned = torchvision.ops.roi_align(x, boxes, 2)
left = [name for name in sys.modules if name.startswith("torch._dynamo")]
answers = [align.is_compile_supported("cpu"), align.is_compile_supported("meta")]
import torch._dynamo
real = [torch._dynamo.utils.is_compile_supported(name) for name in ("cpu", "meta")]

seen = []
disable = sys.modules["levelfield.without_compiler"]._disable
marked = disable(lambda x: (seen.append(torch.compiler.is_compiling()), x)[1])
compiled = torch.compile(lambda x: marked(x + 1) * 2, backend="eager")
print(json.dumps({
    "left": left, "asked": answers == real, "features": timm.layers._fx.has_fx_feature_extraction,
    "aligned": aligned.tolist() == torch.ones(1, 3, 2, 2).tolist(),
    "marked": hasattr(NaFlexEmbeds._apply_learned_naflex_pos_embed, "__wrapped__"),
    "compiled": compiled(torch.ones(2)).tolist(), "seen": seen,
    "alike": torch.allclose(torch.compile(model, backend="eager")(x), model(x)),
}))
"""

ELSE = """
import sys
sys.path.insert(0, "")
from levelfield.without_compiler import import_without_compiler
asks = import_without_compiler("asks")
import torch._dynamo
print(asks.found is LOOKED_FOR, sys.modules["torch._dynamo"] is torch._dynamo, torch._dynamo.__file__ is not None)
"""


def test_timm_is_loaded_without_the_compiler_and_gets_it_when_it_is_there() -> None:
    done = subprocess.run([sys.executable, "-c", TIMM], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "left": [], "asked": True, "features": True, "aligned": True, "marked": True, "compiled": [4.0, 4.0],
        "seen": [False], "alike": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "looked_for"),
    [
        ("from torch._dynamo.utils import counters as found", "torch._dynamo.utils.counters"),
        ("from torch._dynamo import allow_in_graph as found", "torch._dynamo.allow_in_graph"),
        ("import torch\nimport torch._dynamo\nfound = torch._dynamo.optimize", "torch._dynamo.optimize"),
        ("from torch._dynamo.exc import Unsupported as found", "torch._dynamo.exc.Unsupported"),
    ],
)
def test_whoever_asks_for_more_of_the_compiler_gets_the_compiler(source: str, looked_for: str, tmp_path: Path) -> None:
    (tmp_path / "asks.py").write_text(source + "\n")
    program = ELSE.replace("LOOKED_FOR", looked_for)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["True"] * 3, done.stderr
