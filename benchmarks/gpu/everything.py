"""All that this repository has for a GPU, checked and measured in one call of ten minutes.

    python benchmarks/gpu/everything.py --out FOLDER --minutes 9.5

The parts below, the most telling first, each a command of its own that is cut off at its limit: the tests that need a
GPU (a real capture, no wait in a step of any recipe), training steps of OutGrid-7M by every engine, Muon, the kernels,
`outgrid.py` against the author's form, profiles under graphs, the machine's own figures, a record on digits.
`everything.json` says of each what it took and how it ended; what a part measured lies beside it. A second call with
the same folder goes on with what is missing or failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from campaign import ROOT, Clock, parser, say

from levelfield.runs import write_json

LEAST: Final = 0.3
"""A part is begun if at least this share of its limit is left."""
MODEL: Final = "outgrid_7m"


def parts(out: Path, device: str) -> dict[str, tuple[float, list[str]]]:
    """Name -> (seconds at most, arguments of python): every part, the most telling first."""
    benchmarks, gpu = ROOT / "benchmarks", ROOT / "benchmarks" / "gpu"
    tests = ["tests/training/test_step_graph.py", "tests/training/test_step_never_waits.py"]

    def step(engine: str, recipe: str) -> list[str]:
        key = f"step {MODEL} {recipe} {engine}"
        return calibrate(key, ["--part", key, "--model", MODEL, "--recipe", recipe])

    def calibrate(name: str, more: list[str]) -> list[str]:
        folder = ["--out", str(out / name.replace(" ", "-")), "--results", str(out / "none")]
        return [str(gpu / "job1_calibrate.py"), "--device", device, "--minutes", "2", *folder, *more]

    def script(name: str, *more: str) -> list[str]:
        result = "-".join([name, *(part.strip("-") for part in more)]) + ".json"
        return [str(benchmarks / f"{name}.py"), "--device", device, *more, "--json", str(out / result)]

    found: dict[str, tuple[float, list[str]]] = {
        "tests": (75, ["-m", "pytest", "-q", "-k", "gpu", *(str(ROOT / test) for test in tests)])
    }
    for engine, limit in (("eager", 40.0), ("step", 40.0), ("graphs", 75.0)):
        found[f"step modern-100ep {engine}"] = (limit, step(engine, "modern-100ep"))
    found["muon"] = (30, script("muon"))
    found["kernels"] = (60, script("kernels"))
    found["outgrid graphs"] = (90, script("outgrid", "--engine", "graphs", "--dtype", "bf16", "--seconds", "4"))
    found["outgrid eager"] = (40, script("outgrid", "--engine", "eager", "--dtype", "bf16", "--seconds", "4"))
    found["machine"] = (30, calibrate("machine", ["--part", "machine"]))
    found["step outgrid-100ep step"] = (40, step("step", "outgrid-100ep"))
    profile = ["--out", str(out), "--results", str(out / "none"), "--device", device, "--study", "modern-cifar100"]
    profile += ["--engine", "graphs", "--dtype", "bf16", "--batch", "64", "--seconds", "0.5", "--minutes", "2"]
    found["profile graphs"] = (90, [str(gpu / "job2_profile.py"), *profile])
    found["step modern-100ep compiled-step"] = (75, step("compiled-step", "modern-100ep"))
    record = ["record", "digits", "--target", "95", "--model", "resnet_nano", "--recipe", "digits-fast", "-n", "2"]
    record += ["--device", device, "--yes", "--out", str(out / "record-digits")]
    found["record"] = (60, ["-m", "levelfield", *record])
    found["outgrid compile"] = (75, script("outgrid", "--engine", "compile", "--dtype", "bf16", "--seconds", "4"))
    return found


def carry_out(command: list[str], limit: float) -> dict[str, Any]:
    """Run python with `command` for at most `limit` seconds: how it ended, what it took, the end of what it printed."""
    begin = time.monotonic()
    try:
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=limit, check=False)
        code, text = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        code, text = None, said.decode(errors="replace") if isinstance(said, bytes) else said
    return {"exit_code": code, "seconds": round(time.monotonic() - begin, 1), "output": text[-2000:]}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    options = parser(__doc__ or "")
    options.add_argument("--device", default="cuda")
    options.add_argument("--part", action="append", help="only parts whose name begins so; may be repeated")
    options.set_defaults(minutes=9.5)
    chosen = options.parse_args(arguments)
    clock = Clock(chosen.minutes)
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / "everything.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    left = 0
    for name, (limit, command) in parts(chosen.out.resolve(), chosen.device).items():
        if found.get(name, {}).get("exit_code") == 0 or (chosen.part and not name.startswith(tuple(chosen.part))):
            continue
        if clock.left() < LEAST * limit:
            left += 1
            continue
        found[name] = carry_out(command, min(limit, clock.left()))
        write_json(path, found)
        end = found[name]["output"].strip().splitlines()[-1:] or [""]
        say(f"{name}: exit code {found[name]['exit_code']}, {found[name]['seconds']} s: {end[0][:200]}")
    failed = [name for name, part in found.items() if part["exit_code"] != 0]
    say(f"{len(found) - len(failed)} parts done, {len(failed)} failed, {left} left")
    return found


if __name__ == "__main__":
    main()
