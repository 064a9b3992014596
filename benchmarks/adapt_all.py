"""Fit the smallest model of every timm file to 32 and 64 px: forward, backward, last map at least 2x2.

    python benchmarks/adapt_all.py [--sizes 32 64] [--write docs/how-to/timm-small-images.md] [--relist]

Prints a line a model as it goes, and at the end the share that adapts; `--write` puts the table of refusals with their
reasons between the marks in the page. The smallest models stand in tests/models/smallest_timm.json; `--relist` counts
the parameters of all of timm's models anew (about ten minutes) and rewrites it. About 15 minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import timm
import torch

from levelfield.errors import UserError
from levelfield.models.adapt_timm.find_downsampling import trace
from levelfield.models.adapt_timm.timm_models import fit_timm, timm_file, timm_setting

LIST = Path(__file__).parents[1] / "tests" / "models" / "smallest_timm.json"
BEGIN, END = "<!-- refusals: written by benchmarks/adapt_all.py -->", "<!-- end of refusals -->"


@dataclass(frozen=True)
class Attempt:
    """One model at one size; `refusal` is empty where it was fitted, ran forwards and backwards, and is 2x2 or more."""

    file: str
    name: str
    image_size: int
    refusal: str
    seconds: float


def count_smallest() -> dict[str, str]:
    """timm file to the name of its model with the fewest parameters, by counting every one."""
    smallest: dict[str, tuple[int, str]] = {}
    for name in timm.list_models():
        try:
            with torch.device("meta"):
                count = sum(parameter.numel() for parameter in timm.create_model(name).parameters())
        except (RuntimeError, NotImplementedError, TypeError):
            count = sum(parameter.numel() for parameter in timm.create_model(name).parameters())
        file = timm_file(name)
        smallest[file] = min(smallest.get(file, (count, name)), (count, name))
    return {file: name for file, (_, name) in sorted(smallest.items())}


def attempt(file: str, name: str, image_size: int) -> Attempt:
    """Fit, one step forwards and backwards on two images."""
    began = time.perf_counter()
    refusal = ""
    try:
        model, _ = fit_timm(name, 10, image_size)
        images = torch.randn(2, 3, image_size, image_size)
        logits = model.train()(images)
        logits = logits[0] if isinstance(logits, (tuple, list)) else logits
        logits.sum().backward()
        side = trace(model, image_size).last_side
        if logits.shape != (2, 10) or not logits.isfinite().all() or side < 2:
            refusal = f"logits {tuple(logits.shape)}, last map {side}x{side}"
    except UserError as error:
        refusal = str(error).split(" px: ", 1)[-1]
    except Exception as error:
        refusal = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return Attempt(file, name, image_size, refusal, time.perf_counter() - began)


def table(attempts: list[Attempt]) -> str:
    """The refusals as a Markdown table, under a line with the share that adapts."""
    refused = [each for each in attempts if each.refusal]
    share = 100 * (1 - len(refused) / len(attempts))
    lines = [
        f"Of {len(attempts)} attempts (the smallest model of each of timm {timm.__version__}'s "
        f"{len({each.file for each in attempts})} files, at {sorted({each.image_size for each in attempts})} px), "
        f"{len(attempts) - len(refused)} adapt: {share:.1f} %.",
        "",
        "| timm file | model | px | why it is refused |",
        "|---|---|---|---|",
    ]
    lines += [f"| {e.file} | {e.name} | {e.image_size} | {e.refusal.replace('|', '/')} |" for e in refused]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--files", nargs="*", help="only these timm files")
    parser.add_argument("--relist", action="store_true", help="count all of timm's models anew")
    parser.add_argument("--write", type=Path, help="the page that holds the table of refusals")
    parser.add_argument("--json", type=Path, help="where to put every attempt")
    options = parser.parse_args()
    if options.relist:
        LIST.write_text(json.dumps(count_smallest(), indent=1) + "\n", encoding="utf-8")
    attempts: list[Attempt] = []
    for file, name in json.loads(LIST.read_text(encoding="utf-8")).items():
        if options.files and file not in options.files:
            continue
        for image_size in options.sizes:
            attempts.append(attempt(file, name, image_size))
            last = attempts[-1]
            side = timm_setting(name)[1]
            outcome = last.refusal or "adapts"
            line = f"{file:28s} {name:40s} {side:4d} -> {image_size:3d} px {last.seconds:6.1f} s  {outcome}"
            print(line, file=sys.stderr, flush=True)
    print(table(attempts))
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in attempts], indent=1), encoding="utf-8")
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        after = rest.partition(END)[2]
        options.write.write_text(f"{before}{BEGIN}\n\n{table(attempts)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
