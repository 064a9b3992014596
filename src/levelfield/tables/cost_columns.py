"""What the networks of a table cost in time and memory, as far as `levelfield profile` measured it at rest.

A training run cannot say it: what a process holds at its highest is not what a network needs, and one pass over a test
set is not a throughput. So `levelfield profile --study NAME --into FOLDER` measures every network in processes of its
own, and leaves `costs.json` beside study.json. A network that was profiled while the machine worked for others, or
whose repeated timings disagree, has no costs; its cells stay empty.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.spec import Channels, RunSpec
from levelfield.tables.rows import StudyRows

COSTS: Final = "costs.json"
"""In a study's folder: the list that `levelfield profile --study NAME --json` prints."""
MEASURED: Final = (
    "images_per_s",
    "ms_per_batch",
    "ms_per_batch_q1",
    "ms_per_batch_q3",
    "mem_peak_mib",
    "joules_per_image",
)
"""What a row's means hold of its network's profile: inference of a batch; the peak memory of doing it; the
energy of an image, where the device has a meter."""
_SETTING: Final = ("device", "dtype", "batch", "threads", "compiled", "cuda_graphs", "fp32_precision")


def read_costs(folder: Path | None) -> list[dict[str, Any]]:
    """The profiles in a study's folder, those of one setting (the first one's); none where there is no file."""
    path = None if folder is None else folder / COSTS
    if path is None or not path.is_file():
        return []
    try:
        profiles: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return [each for each in profiles if all(each.get(key) == profiles[0].get(key) for key in _SETTING)]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read: {error!r}\nmeasure again: levelfield profile --study NAME --into {folder}"
        ) from None


def costs_of(profiles: Sequence[Mapping[str, Any]], spec: RunSpec | None) -> dict[str, float]:
    """The costs of the network that `spec` trains, by the keys of MEASURED; empty where none can be trusted."""
    profile = profile_of(profiles, spec)
    if profile is None or not trusted(profile):
        return {}
    throughput, memory = profile["throughput"], profile["memory"]["inference"]
    measured = (throughput["images_per_s"], *(throughput[key] for key in ("ms_median", "ms_q1", "ms_q3")))
    found = zip(MEASURED, (*measured, memory["peak_mib"], profile.get("joules_per_image")), strict=True)
    return {key: float(value) for key, value in found if value is not None}


def profile_of(profiles: Sequence[Mapping[str, Any]], spec: RunSpec | None) -> Mapping[str, Any] | None:
    """The profile of the network that `spec` trains, with as many channels; None where there is none."""
    if spec is None:
        return None
    model = spec.model
    network = (model.name, model.num_classes, model.image_size, model.options, plain_channels(model.channels))
    for each in profiles:
        known = (each["model"], each["classes"], each["image_size"], each.get("options") or {}, each.get("channels"))
        if known == network:
            return each
    return None


def plain_channels(channels: Mapping[str, Channels] | None) -> dict[str, dict[str, int]] | None:
    """The channels that are left, as JSON has them: by layer and side; None of a whole network."""
    return (
        {layer: {str(side): count for side, count in left.of_sides().items()} for layer, left in channels.items()}
        if channels
        else None
    )


def trusted(profile: Mapping[str, Any]) -> bool:
    """Whether the machine rested, as far as it tells, and repeated timings agree."""
    return profile.get("resting") is True and profile.get("noisy") is False


def profile_command(study: StudyRows) -> str:
    """The command that measures what the networks of `study` cost, and keeps it in its folder."""
    words = ["levelfield", "profile", "--study", study.source or study.name]
    words += [] if study.scale in ("", "full") else ["--scale", study.scale]
    words += [word for path in study.plugins for word in ("--plugin", path)]
    return f"{shlex.join(words)} --into FOLDER"


def costs_in_words(profiles: Sequence[Mapping[str, Any]], command: str = "") -> str:
    """What the cost figures of a table rest on, in a sentence or two. `command`: what measures them."""
    if not profiles:
        how = f" ({command}, on a machine at rest)" if command else ""
        return f"Time and memory of the networks: not measured{how}."
    first = profiles[0]
    left = [str(each["name"]) for each in profiles if not trusted(each)]
    machine = first.get("environment", {}).get("gpu") or first.get("environment", {}).get("processor") or "a CPU"
    said = (
        f"Time and memory of the networks: levelfield profile on {machine} ({first['device']}, {first['dtype']}, batch "
        f"{first['batch']}, {first['threads']} threads), inference, warmed up, medians over processes of their own."
    )
    return said + (f" Left empty, as the machine did not rest: {', '.join(left)}." if left else "")
