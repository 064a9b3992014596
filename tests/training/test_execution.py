"""Execution may change speed, not results: every key is varied, and the weights are compared.

A key is `bits` (the arithmetic is the same: equal to the bit), `rounding` (the same sums in another order or by other
kernels; the reason stands beside it), `gpu` (refused without one) or `science` (it changes results and is in the
identity).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_run import run_spec

from levelfield.errors import UserError
from levelfield.spec import Execution
from levelfield.training import Interrupted, prepare, train_prepared

RECIPE = [
    "recipe.optimizer={name: sgd, lr: 0.05, momentum: 0.9}", "recipe.mix={mixup_alpha: 0.8, cutmix_alpha: 1.0}",
    "recipe.averaging={name: ema, decay: 0.9}", "recipe.validation=0.2",
    "recipe.regularisation={label_smoothing: 0.1, drop_path: 0.1, dropout: 0.1, clip_norm: 1.0}",
    "recipe.augment={crop: {name: pad_crop, padding_px: 1}, flip: random, erasing: {}}",
]  # fmt: skip
"""A bit of everything that a run may do, on a network with BatchNorm."""


@dataclass(frozen=True)
class Case:
    """Another value of a key, the kind of its effect, why it is not to the bit, and what both runs have set."""

    value: object
    kind: str = "bits"
    why: str = ""
    both: tuple[str, ...] = ()


CASES = {
    "device": Case("'cpu:0'", why="other devices have other kernels: rounding, shown where there is one"),
    "threads": Case(2, "rounding", "a sum over the batch is split among threads"),
    "workers": Case(2, both=("execution.loader=streamed", "execution.workers=0")),
    "loader": Case("streamed"),
    "resident_budget_mib": Case(1, both=("data.image_size=32", "data.train_limit=500", "budget={steps: 3}")),
    "compile": Case("true", "rounding", "fused kernels round at other places"),
    "cuda_graphs": Case("true", "rounding", "the network is compiled for it"),
    "step_graph": Case("true", "gpu", "replayed on a GPU; recorded and replayed on a CPU in test_step_graph.py"),
    "channels_last": Case("false", "rounding", "convolutions sum in another order"),
    "deterministic": Case("false"),
    "micro_batch": Case(8, "science"),
    "processes": Case(3),  # filled in anew; tests/training/test_processes.py trains with several
    "gradient_checkpointing": Case("true"),
    "checkpoint_every_steps": Case(3),
    "checkpoint_every_seconds": Case(0.001),
    "keep_checkpoints": Case(1, both=("execution.checkpoint_every_steps=2",)),
    "log_every_steps": Case(1),
    "stop_after_seconds": Case(0.001),
    "stop_after_epochs": Case(1),
    "eval_batch_size": Case(7),
    "loggers": Case("[tensorboard]"),
    "data_dir": Case("."),
}


def test_every_key_of_execution_has_a_case() -> None:
    assert set(CASES) == set(Execution.model_fields), "say here what the new key does to the weights"
    assert all(case.why for case in CASES.values() if case.kind == "rounding")


@pytest.fixture(autouse=True)
def traced_and_not_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's compiler traces the network and differentiates what it traced, but generates no code: that takes minutes
    on a CPU, and what the code rounds is torch's business."""
    compile_network = torch.compile
    monkeypatch.setattr(torch, "compile", lambda net, mode=None: compile_network(net, backend="aot_eager"))


@pytest.mark.parametrize("key", CASES)
def test_execution_changes_speed_and_not_results(key: str, tmp_path: Path) -> None:
    case = CASES[key]
    short = ["budget={steps: 3}"] if case.kind == "rounding" else []  # before training magnifies it
    if case.kind == "gpu":
        with pytest.raises(UserError, match="this run is on cpu"):
            prepare(run_spec(*RECIPE, f"execution.{key}={case.value}"))
        return
    start = prepare(run_spec(*RECIPE)).build_model()
    if key == "gradient_checkpointing" and not hasattr(start, "set_grad_checkpointing"):
        pytest.xfail("no built-in network can do it yet")
    weights, identities = [], []
    for name, changes in (("plain", []), ("varied", [f"execution.{key}={case.value}"])):
        prepared = prepare(run_spec(*RECIPE, *short, *case.both, *changes))
        identities.append(prepared.identity)
        for _ in range(100):
            try:
                train_prepared(prepared, tmp_path / name)
                break
            except Interrupted:  # goes on where it stopped
                continue
        weights.append(load_file(tmp_path / name / "weights.safetensors"))
    equal = all(torch.equal(value, weights[1][which]) for which, value in weights[0].items())
    assert (identities[0] == identities[1]) == (case.kind != "science")
    if case.kind == "bits":
        assert equal
    elif case.kind == "rounding":
        floats = [which for which, value in start.state_dict().items() if value.is_floating_point()]
        one, two, first = (torch.cat([w[k].flatten() for k in floats]) for w in (*weights, start.state_dict()))
        assert float((one - two).norm() / (one - first).norm()) < 1e-5
    else:
        assert not equal  # or it need not be in the identity


def test_local_batchnorm_makes_the_number_of_processes_science(monkeypatch: pytest.MonkeyPatch) -> None:
    identities = {}
    for size in (1, 2):
        monkeypatch.setenv("WORLD_SIZE", str(size))
        for norm in ("local", "global"):
            prepared = prepare(run_spec(f"recipe.batchnorm={norm}"))
            assert prepared.spec.execution.processes == size
            identities[norm, size] = prepared.identity
    assert identities["local", 1] != identities["local", 2]
    assert identities["global", 1] == identities["global", 2]
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(UserError, match="was made with 2 processes"):
        prepare(run_spec("recipe.batchnorm=local", "execution.processes=2"))
