"""torch's optimisers and our counter do what they do, without torch's compiler until somebody has loaded it."""

from __future__ import annotations

import json
import subprocess
import sys

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
    spec = Optimizer(name=name, lr=0.01, weight_decay=0.01)
    return lambda net: make_optimizer(spec, net)

def its_own(optimizer):
    settings = type(optimizer), [{**group, "params": list(group["params"])} for group in optimizer.param_groups]
    return lambda net: settings[0]([{**group, "params": [dict(net.named_parameters())[n] for n in group["names"]]}
                                    for group in settings[1]])

NAMES = [name for name in _TORCH if name != "rprop"]  # which takes no weight decay, and so is refused
without = {name: trained(ours(name)) for name in [*NAMES, "muon"]}
macs = count_macs(nn.Conv2d(3, 4, 3, bias=False), 5).total
loaded = "torch._dynamo" in sys.modules
import torch._dynamo
plain = {name: trained(its_own(ours(name)(nn.Linear(6, 4)))) for name in NAMES}
again = {name: trained(ours(name)) for name in [*NAMES, "muon"]}
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
        "count": 11,
    }  # fmt: skip
