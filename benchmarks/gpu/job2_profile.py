"""The cost half of the OutGridViT table: every network profiled in fp16 and bf16, at batch 64 and 512, by every engine.

    python benchmarks/gpu/job2_profile.py --out FOLDER --minutes 9

What `levelfield profile --study outgrid-cifar100 --train` measures (kernel by kernel, with `--compile`, and with
`--cuda-graphs`), a network at a time, so that it can stop and go on:
`profile-outgrid-cifar100.json` holds what `results/gpu/` holds of the same GPU and what this job added. Needs no data.
"""

from __future__ import annotations

import json
import time
from functools import partial
from itertools import product
from typing import Any, Final

from campaign import ENGINES, Clock, parser, say

from levelfield.cost import Setting
from levelfield.runs import write_json
from levelfield.studies.running.profile_networks import profile_subject, resolved, study_subjects

GUESS_S: Final = 60.0
"""Seconds that the first profile may take; later ones as long as the longest before."""


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    options = parser(__doc__ or "")
    options.add_argument("--study", default="outgrid-cifar100")
    options.add_argument("--device", default="auto")
    options.add_argument("--dtype", action="append", help="default: fp16 and bf16")
    options.add_argument("--batch", type=int, action="append", help="default: 64 and 512")
    options.add_argument("--engine", action="append", choices=ENGINES, help="default: all on a GPU, else eager")
    options.add_argument("--seconds", type=float, default=1.0, help="of each timing")
    chosen = options.parse_args(arguments)
    clock = Clock(chosen.minutes)
    from levelfield.training.device import choose_device
    from levelfield.training.environment import describe_environment

    device = choose_device(chosen.device)
    environment = describe_environment(device)
    name = f"profile-{chosen.study}.json"
    chosen.out.mkdir(parents=True, exist_ok=True)
    earlier = chosen.results / "gpu" / name
    rows: list[dict[str, Any]] = json.loads(earlier.read_text(encoding="utf-8")) if earlier.is_file() else []
    rows = [row for row in rows if row["environment"].get("gpu") == environment.get("gpu")]
    done = {_what(row) for row in rows}
    longest, left_out = 0.0, 0
    engines = chosen.engine or (list(ENGINES) if device.type == "cuda" else ["eager"])
    settings = product(engines, chosen.dtype or ["fp16", "bf16"], chosen.batch or [64, 512])
    subjects, cut = study_subjects(chosen.study)
    if cut:
        say(f"not profiled, as a run tells which channels are left: {', '.join(cut)}")
    for engine, dtype, batch in settings:
        for subject in subjects:
            if (subject.label, engine, dtype, batch) in done:
                continue
            if clock.left() < (longest or min(GUESS_S, 15 * chosen.minutes)):
                left_out += 1
                continue
            begin = time.monotonic()
            setting = partial(
                Setting, batch=batch, device=str(device), dtype=dtype, train=True, seconds=chosen.seconds,
                compile=engine != "eager", cuda_graphs=engine == "graphs",
            )  # fmt: skip
            measured = profile_subject(resolved(subject), setting)
            longest = max(longest, time.monotonic() - begin)
            rows.append({**measured, "environment": environment})
            write_json(chosen.out / name, rows)
            noisy = f", noisy by {measured['noise_percent']:.1f} %" if measured["noisy"] else ""
            say(
                f"{subject.label} {engine} {dtype} batch {batch}: {measured['images_per_s']:.0f} images/s, training "
                f"{measured['training']['images_per_s']:.0f}{noisy}"
            )
    say(f"{len(rows)} profiles; {left_out} left")
    return rows


def _what(row: dict[str, Any]) -> tuple[str, str, str, int]:
    """What a profile is of; older ones, which do not say their engine, went kernel by kernel."""
    engine = "graphs" if row.get("cuda_graphs") else "compile" if row.get("compiled") else "eager"
    return row["name"], engine, row["dtype"], row["batch"]


if __name__ == "__main__":
    main()
