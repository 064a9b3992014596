"""Export one small network of every built-in family and of every timm file to ONNX or OpenVINO, and run each there.

    python benchmarks/export_all.py [--to openvino] [--write PAGE] [--kept FILE] [--only NAME ...]

Of a built-in family the network with the fewest parameters, at its own image size; of a timm file the smallest model
(tests/models/smallest_timm.json), fitted to 32 px, or 64 px where it refuses that. Weights are random. A network counts
as exported where its logits on three images of its size, and on three of another, are PyTorch's within 0.1 % of the
largest (5 % on those of another where the form rounds their pixels otherwise, OpenVINO), for batches other than the
traced one. `--kept` keeps what was found in a file as it goes, and a second start
goes on from there; `--write` puts the table of what cannot be exported between the marks in the page. A line a
network; about half an hour on a quiet core.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

from levelfield.data.augment.normalize import Normalize
from levelfield.data.store.resize import Fit
from levelfield.errors import UserError
from levelfield.exports.forms import FORMS, To
from levelfield.exports.program import ImageProgram, Layout, traced
from levelfield.models import create_model, list_models, model_info
from levelfield.models.adapt_timm.timm_models import fit_timm
from levelfield.module_mode import averaged_twin

SMALLEST = Path(__file__).parents[1] / "tests" / "models" / "smallest_timm.json"
BEGIN, END = "<!-- exports: written by benchmarks/export_all.py -->", "<!-- end of exports -->"
ALLOWED = 1e-3
ALLOWED_RESIZED = {To.ONNX: 1e-3, To.OPENVINO: 5e-2}


def built_in() -> dict[str, str]:
    """Of each family the network with the fewest parameters."""
    from levelfield.known_models.built_in import built_in as facts

    found: dict[str, tuple[int, str]] = {}
    for name in list_models():
        known = facts()[name]
        found[known.info.family] = min(found.get(known.info.family, (known.params, name)), (known.params, name))
    return {family: name for family, (_, name) in sorted(found.items())}


def networks(only: list[str]) -> Iterator[tuple[str, str, str]]:
    """Where from (levelfield or timm), family or file, and name."""
    timm_files: dict[str, str] = json.loads(SMALLEST.read_text(encoding="utf-8"))
    for source, names in (("levelfield", built_in()), ("timm", timm_files)):
        for family, name in names.items():
            if not only or name in only:
                yield source, family, name


def made(source: str, name: str) -> tuple[nn.Module, int]:
    """The network and its image size. Raises UserError for a timm model that fits neither 32 nor 64 px."""
    if source == "levelfield":
        return create_model(name, num_classes=10), model_info(name).image_size
    try:
        return fit_timm(name, 10, 32)[0], 32
    except UserError:
        return fit_timm(name, 10, 64)[0], 64


def attempt(to: To, source: str, family: str, name: str) -> dict[str, Any]:
    """What became of one network; `why` is empty where it computes the same in the form's runtime."""
    began, why, off, mib, form = time.perf_counter(), "", 0.0, 0.0, FORMS[to]
    try:
        torch.manual_seed(0)
        network, size = made(source, name)
        normalize = Normalize("imagenet", (), (), torch.contiguous_format)
        for parameter in network.parameters():
            if not parameter.any():  # a classifier, or a branch, that begins as zero would show nothing
                nn.init.normal_(parameter, std=0.02)
        network = averaged_twin(network)
        program = ImageProgram(network, Fit("resize", size), size, normalize, 1.0, Layout.NHWC, form.branches)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / form.file
            exported = traced(program, size)
            form.write(exported, {}, file)
            mib = sum(each.stat().st_size for each in Path(folder).iterdir()) / 2**20
            runtime, here = form.open(file, 1), exported.module()
            for height, width in ((size, size), (size + 11, 2 * size)):
                images = np.random.default_rng(height).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
                with torch.inference_mode():
                    fitted = here(torch.from_numpy(images))[1]
                here_off = float(np.abs(runtime(images)[1] - fitted.numpy()).max() / fitted.abs().max())
                if (height, width) == (size, size) or to is To.ONNX:
                    off = max(off, here_off)
                if not here_off <= ALLOWED_RESIZED[to]:
                    why = f"logits are off by {100 * here_off:.2g} % of the largest on images of another size"
            plain = np.random.default_rng(1).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
            scaled = torch.from_numpy(plain).permute(0, 3, 1, 2) * program.scale + program.shift
            with torch.inference_mode():
                own = network(scaled)
            off = float(np.maximum(off, np.abs(runtime(plain)[1] - own.numpy()).max() / own.abs().max()))  # keeps a NaN
        if not off <= ALLOWED:
            why = f"logits are off by {100 * off:.2g} % of the largest"
    except UserError as error:
        why = str(error).splitlines()[0]
    except Exception as error:
        why = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:160]}"
    return {
        "source": source, "family": family, "name": name, "why": why, "off": off, "mib": mib,
        "seconds": time.perf_counter() - began,
    }  # fmt: skip


def table(to: To, found: list[dict[str, Any]]) -> str:
    """Counts, the largest difference, and a line for each that cannot be exported."""
    failed = [each for each in found if each["why"]]
    lines = []
    for source, what in (("levelfield", "built-in families"), ("timm", f"files of timm {timm.__version__}")):
        tried = [each for each in found if each["source"] == source]
        good = [each for each in tried if not each["why"]]
        worst = max((each["off"] for each in good), default=0.0)
        lines.append(
            f"- {len(good)} of {len(tried)} {what}: their smallest networks compute the same as {to}, the "
            f"logits of the worst off by {100 * worst:.4f} % of the largest."
        )
    lines += ["", "| from | family or file | network | why not |", "|---|---|---|---|"]
    lines += [f"| {e['source']} | {e['family']} | {e['name']} | {e['why'].replace('|', '/')} |" for e in failed]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=To, choices=tuple(ALLOWED_RESIZED), default=To.ONNX)
    parser.add_argument("--write", type=Path, help="page that holds the table between marks")
    parser.add_argument("--kept", type=Path, help="JSON lines, one a network")
    parser.add_argument("--only", nargs="*", default=[], help="names of networks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    if options.kept is not None and options.kept.is_file():
        found = [json.loads(line) for line in options.kept.read_text(encoding="utf-8").splitlines()]
    seen = {each["name"] for each in found}
    for source, family, name in networks(options.only):
        if name in seen:
            continue
        each = attempt(options.to, source, family, name)
        found.append(each)
        print(f"{source:<10} {family:<24} {name:<32} {each['why'] or 'same'}  {each['seconds']:.0f} s", flush=True)
        if options.kept is not None:
            with options.kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(each) + "\n")
    print(table(options.to, found))
    if options.write is not None:
        page = options.write.read_text(encoding="utf-8")
        if BEGIN not in page or END not in page:
            sys.exit(f"{options.write} has no marks {BEGIN} and {END}")
        head, rest = page.split(BEGIN)
        options.write.write_text(
            f"{head}{BEGIN}\n{table(options.to, found)}\n{END}{rest.split(END)[1]}", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
