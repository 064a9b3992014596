"""Step time of levelfield's engine against a hand-written loop: the same network, the same batches, the same losses.

Rounds of both alternate in one process; medians over rounds are compared. Logging, progress and checkpoints are on, as
users have them: a checkpoint every 60 seconds and one at the end, so a round should last some 20 seconds or longer.

    python benchmarks/overhead.py                 # resnet_mini and resnet18_s1, batch 64
    python benchmarks/overhead.py --steps 10 --rounds 1 --model resnet_nano
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from itertools import chain, count, islice
from pathlib import Path

import torch
from torch.nn import functional as F

from levelfield import randomness
from levelfield.cost.timing import synchronize
from levelfield.progress import Progress
from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.system.machine import processor_name
from levelfield.training import Prepared, prepare
from levelfield.training.device import configure_torch
from levelfield.training.interrupts import StopRequest
from levelfield.training.processes import World
from levelfield.training.run import Attempt
from levelfield.training.training_loop import train_steps

STEPS = {"resnet_mini": 300, "resnet18_s1": 40}


def raw_loop(prepared: Prepared, attempt: Attempt, steps: int) -> tuple[float, list[float]]:
    """Seconds and losses of a plain PyTorch loop on the batches of `attempt`."""
    spec = prepared.spec.recipe.optimizer
    model = prepared.build_model().to(prepared.device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=spec.lr, momentum=0.9, nesterov=True)
    losses = []
    model.train()
    begin = time.perf_counter()
    epochs = chain.from_iterable(attempt.inputs.epoch(epoch, 0) for epoch in count())
    for step, batch in enumerate(islice(epochs, steps)):
        randomness.seed_model(0, step)
        loss = F.cross_entropy(model(batch.x), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    synchronize(prepared.device)
    return time.perf_counter() - begin, [float(loss) for loss in losses]


def engine(attempt: Attempt) -> tuple[float, list[float]]:
    """Seconds and losses of levelfield's loop with its journal, progress and checkpoints."""
    with attempt.journal:
        begin = time.perf_counter()
        train_steps(
            attempt.state,
            attempt.inputs,
            after_step=attempt.after_step,
            after_epoch=lambda state, epoch: None,
        )
        synchronize(attempt.state.device)
        seconds = time.perf_counter() - begin
    return seconds, [line["train_loss"] for line in attempt.folder.metrics() if line["kind"] == "train"]


def compare(model: str, steps: int, rounds: int, log_every: int, device: str) -> dict[str, object]:
    """Ratio of medians for one model, after one round of warm-up, and whether the losses are equal to the bit."""
    values = {
        "model": {"name": model},
        "data": {"name": "digits", "image_size": 32},
        "recipe": {
            "batch_size": 64, "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": True},
            "schedule": {"name": "constant"}, "augment": {"crop": {"name": "pad_crop"}}, "precision": "fp32",
            "validation": 0.0,
        },
        "budget": {"steps": steps},
        "execution": {"device": device, "log_every_steps": log_every},
    }  # fmt: skip
    prepared = prepare(RunSpec.parse(values, "benchmark"))
    configure_torch(prepared.spec.execution, prepared.device, False)
    times: dict[str, list[float]] = {"raw": [], "levelfield": []}
    equal = True
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder, Progress(shown=False) as progress:
            attempt = Attempt(prepared, RunFolder(Path(folder)), World(), StopRequest(), progress)
            if number % 2:  # neither side always goes first
                own_s, own_losses = engine(attempt)
                raw_s, raw_losses = raw_loop(prepared, attempt, steps)
            else:
                raw_s, raw_losses = raw_loop(prepared, attempt, steps)
                own_s, own_losses = engine(attempt)
        if log_every == 1:
            equal = equal and [torch.tensor(a) for a in raw_losses] == [torch.tensor(b).float() for b in own_losses]
        if number:
            times["raw"].append(raw_s / steps)
            times["levelfield"].append(own_s / steps)
    raw, own = (statistics.median(times[key]) for key in ("raw", "levelfield"))
    return {
        "model": model, "steps": steps, "rounds": rounds,
        "ms_per_step_raw": 1e3 * raw, "ms_per_step_levelfield": 1e3 * own,
        "ratio": own / raw, "losses_equal": equal if log_every == 1 else None,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append")
    parser.add_argument("--steps", type=int, help="a round of each side (default: about 20 seconds on two cores)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--log-every", type=int, default=50, help="1 compares the losses step by step")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [
        compare(model, options.steps or STEPS.get(model, 100), options.rounds, options.log_every, options.device)
        for model in options.model or ["resnet_mini", "resnet18_s1"]
    ]
    for row in rows:
        print(
            f"{row['model']:14} raw {row['ms_per_step_raw']:8.2f} ms/step"
            f"   levelfield {row['ms_per_step_levelfield']:8.2f}   ratio {row['ratio']:.3f}"
            f"   losses equal: {row['losses_equal']}"
        )
    if options.json:
        options.json.write_text(
            json.dumps(
                {
                    "processor": processor_name(),
                    "device": options.device,
                    "threads": torch.get_num_threads(),
                    "rows": rows,
                },
                indent=2,
            )
        )


if __name__ == "__main__":
    main()
