"""The machine's own figures, the steps of the campaign by engine, `outgrid.py` and `overhead.py`.

    python benchmarks/gpu/job1_calibrate.py --out FOLDER --minutes 9

Needs no data. `calibration.json` holds each part as soon as it is measured: copy and matrix-product rates, what a
launch costs; for both networks and recipes a training step carried out kernel by kernel, compiled, as CUDA graphs, and
captured whole, with the minutes that 100 epochs would take and the loss after the same steps (engines that disagree
there must not be used); levelfield's OutGridViT against the unfold form, by every engine; levelfield's loop against a
hand-written one. Whether float32 is TensorFloat-32 is set for every part, never left to torch. Parts that
`results/gpu/calibration.json` holds of the same GPU are carried over, not measured again.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from campaign import ENGINES, ROOT, RUN_ENGINES, WARM_UP, Clock, parser, say

from levelfield.cost.timing import synchronize
from levelfield.data import from_arrays
from levelfield.float32 import float32_precision, set_tf32
from levelfield.runs import write_json
from levelfield.spec import RunSpec, load_recipe
from levelfield.spec.overrides import apply
from levelfield.training.device import choose_device
from levelfield.training.environment import describe_environment

GUESS_S: Final = 90.0
"""Seconds that a part may take; it is begun only if so many are left."""
EPOCHS: Final = 100


def timed(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median seconds of `call`, synchronised, after three to warm up."""
    seconds = []
    for _ in range(repeats + 3):
        synchronize(device)
        start = time.perf_counter()
        call()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[3:])


def machine(device: torch.device) -> dict[str, Any]:
    """Copy bandwidth (bytes read and written), matrix products by type on random data, and the cost of a launch."""
    gpu = device.type == "cuda"
    side, mib = (8192, 4096) if gpu else (256, 64)
    source = torch.randn(mib * 2**18, device=device)
    target = torch.empty_like(source)
    found: dict[str, Any] = {
        "copy_gb_per_s": 2 * source.nbytes / timed(partial(target.copy_, source), device, 20) / 1e9,
        "matrix_side": side,
        "matrix_tflop_per_s": {},
    }
    del source, target  # 8 GB on a GPU
    dtypes = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    for name, dtype in dtypes.items():
        set_tf32(name == "tf32")
        if name in ("fp32", "bf16") or gpu:
            a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
            found["matrix_tflop_per_s"][name] = 2 * side**3 / timed(partial(torch.mm, a, b), device, 10) / 1e12
    x = torch.zeros(1, device=device)

    def thousand() -> None:
        for _ in range(1000):
            x.add_(1.0)

    found["launch_us"] = timed(thousand, device, 10) * 1e3
    return found


def steps(model: str, recipe: str, engine: str, device: str, count: int) -> dict[str, Any]:
    """`count` training steps on random images of 32 px, as a run carries them out."""
    from levelfield.data import make_loader
    from levelfield.training.batch_inputs import TrainingInputs
    from levelfield.training.device import configure_torch
    from levelfield.training.prepare_run import prepare
    from levelfield.training.processes import World
    from levelfield.training.steps_and_phases import make_plan
    from levelfield.training.training_loop import step_of
    from levelfield.training.training_state import TrainState

    begin = time.perf_counter()
    stated = load_recipe(recipe).recipe
    images = (WARM_UP + count) * stated.batch_size
    pixels = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(images) % 100
    data = from_arrays((pixels, labels), (pixels[:200], labels[:200]))
    values = {"model": {"name": model}, "data": {"name": "random"}, "budget": {"epochs": EPOCHS}, "execution": {}}
    values["recipe"] = stated.model_dump(mode="json")
    spec = RunSpec.parse(apply(values, [f"execution.device={device}", *RUN_ENGINES[engine]]), "calibration")
    prepared = prepare(spec, data=data)
    recipe_used = prepared.spec.recipe
    configure_torch(prepared.spec.execution, prepared.device, recipe_used.tf32)
    plan = make_plan(recipe_used, prepared.spec.budget, len(data.train))
    state = TrainState(prepared.build_model(), recipe_used, plan, prepared.spec.execution, prepared.device, World())
    loader = make_loader(data.train, batch_size=recipe_used.batch_size, seed=0, shuffle=True, device=prepared.device)
    inputs = TrainingInputs(loader, recipe_used, data, 32, 0, channels_last=True)
    take_step = step_of(state)
    state.train_mode()
    set_up = start = 0.0
    for done, batch in enumerate(inputs.epoch(0, 0), start=1):
        state.enter_step()
        take_step(state, batch)
        state.step += 1
        if done in (1, WARM_UP):
            synchronize(prepared.device)
            set_up, start = set_up or time.perf_counter() - begin, time.perf_counter()
        if done == WARM_UP + count:
            break
    synchronize(prepared.device)
    per_step = (time.perf_counter() - start) / count
    loss, _, _ = state.interval.read(World())
    per_epoch = math.ceil(round(50_000 * (1 - recipe_used.validation)) / recipe_used.batch_size)
    return {
        "ms_per_step": 1e3 * per_step,
        "images_per_s": recipe_used.batch_size / per_step,
        "set_up_s": set_up,
        "minutes_100_epochs": EPOCHS * per_epoch * per_step / 60,
        "mean_loss": loss,
        "steps": count,
        "precision": recipe_used.precision,
        "fp32_precision": float32_precision(),
        "peak_mib": torch.cuda.max_memory_allocated() / 2**20 if prepared.device.type == "cuda" else None,
    }


def in_own_process(work: Callable[..., dict[str, Any]], *arguments: object) -> dict[str, Any]:
    """What `work` returns; an engine that fails says so and does not stop the others."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except Exception as error:
            return {"failed": f"{type(error).__name__}: {error}"[:500]}


def script(name: str, out: Path, clock: Clock, *arguments: str) -> dict[str, Any]:
    """The JSON of a benchmark that lies beside this folder."""
    path = out / "part.json"
    command = [sys.executable, str(ROOT / "benchmarks" / name), *arguments, "--json", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, clock.left()), check=False)
    except subprocess.TimeoutExpired:
        return {"failed": "the job's time was up"}
    if done.returncode:
        return {"failed": done.stderr[-500:]}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return found


def parts(
    device: str, models: list[str], recipes: list[str], count: int, out: Path, clock: Clock
) -> dict[str, Callable[[], dict[str, Any]]]:
    """Every part by name, the most telling first."""
    made: dict[str, Callable[[], dict[str, Any]]] = {"machine": lambda: machine(torch.device(device))}
    for recipe in recipes:
        for model in models:
            for engine in RUN_ENGINES if device.startswith("cuda") else ENGINES:
                key = f"step {model} {recipe} {engine}"
                made[key] = partial(in_own_process, steps, model, recipe, engine, device, count)
    for engine in ENGINES:
        for batch in ("64", "512"):
            for dtype in ("fp16", "bf16", "fp32"):
                arguments = ("--device", device, "--batch", batch, "--dtype", dtype, "--seconds", "10")
                arguments += ("--engine", engine)
                key = f"outgrid.py {engine} batch {batch} {dtype}"
                made[key] = partial(script, "outgrid.py", out, clock, *arguments)
    made["overhead.py"] = partial(script, "overhead.py", out, clock, "--device", device)
    return made


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = parser(__doc__ or "")
    options.add_argument("--device", default="auto")
    options.add_argument("--part", action="append", help="only parts whose name begins so; may be repeated")
    options.add_argument("--model", action="append", help="default: outgrid_7m and resnet18_s1")
    options.add_argument("--recipe", action="append", help="default: outgrid-100ep and modern-100ep")
    options.add_argument("--steps", type=int, default=84)
    chosen = options.parse_args(arguments)
    clock = Clock(chosen.minutes)
    device = choose_device(chosen.device)
    chosen.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"environment": describe_environment(device), "parts": {}}
    earlier = chosen.results / "gpu" / "calibration.json"
    if earlier.is_file():
        before = json.loads(earlier.read_text(encoding="utf-8"))
        if before["environment"].get("gpu") == found["environment"].get("gpu"):
            found["parts"] = {name: part for name, part in before["parts"].items() if "failed" not in part}
    made = parts(
        str(device), chosen.model or ["outgrid_7m", "resnet18_s1"], chosen.recipe or ["outgrid-100ep", "modern-100ep"],
        chosen.steps, chosen.out, clock,
    )  # fmt: skip
    longest, left_out = 0.0, 0
    for name, measure in made.items():
        if name in found["parts"] or (chosen.part and not name.startswith(tuple(chosen.part))):
            continue
        if clock.left() < max(longest, min(GUESS_S, 15 * chosen.minutes)):
            left_out += 1
            continue
        begin = time.monotonic()
        found["parts"][name] = measure()
        longest = max(longest, time.monotonic() - begin)
        write_json(chosen.out / "calibration.json", found)
        brief = {key: value for key, value in found["parts"][name].items() if not isinstance(value, list)}
        say(f"{name}: {json.dumps(brief)[:300]}")
    say(f"{len(found['parts'])} parts measured, {left_out} left")
    return found


if __name__ == "__main__":
    main()
