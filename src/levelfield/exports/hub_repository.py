"""A finished run as a repository of the Hugging Face Hub: weights, configuration, preprocessing, results and card.

levelfield reads it back by `load_run("hub:OWNER/NAME")`. Where timm rebuilds the network, `config.json` is in timm's
form too, which is tried out before it is kept: timm loads the files as it would from the Hub, and must compute the same
logits.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch

from levelfield.data.augment.normalize import Normalize
from levelfield.errors import UserError
from levelfield.known_models.model_info import TIMM
from levelfield.module_mode import evaluation_mode
from levelfield.runs import CALIBRATION, write_json, write_text
from levelfield.runs.compact import write_compact
from levelfield.runs.hub import WEIGHTS, asked
from levelfield.spec.hub_source import HubSource, repository
from levelfield.tables import build_table, read_study
from levelfield.tables.reproduce import setups
from levelfield.tables.text.model_card import Shared, to_card
from levelfield.training.load_finished_run import LoadedRun, load_run

CONFIG: Final = "config.json"
CARD: Final = "README.md"
CROP_MODES: Final = {"resize": "squash", "crop": "center", "pad": "border"}
"""levelfield's fits in timm's words."""
OF_TRAINING: Final = ("drop_path", "drop_path_mode", "dropout", "adapt")
"""Options of a timm model that leave no trace in its weights."""
ALLOWED: Final = 1e-3
"""How far timm's logits may be from the run's, as a share of the largest."""


def push_run(path: Path, repo: str, *, private: bool | None = None, licence: str | None = None) -> dict[str, Any]:
    """Send the finished run in `path` to `repo` (OWNER/NAME), which is made where it is not there, as one commit.

    Returns what `levelfield hub push --json` prints. huggingface_hub finds the token (HF_TOKEN, `hf auth login`);
    levelfield neither reads nor keeps it. Raises UserError for a run that others could not load, and where the Hub
    refuses or is not within reach.
    """
    from huggingface_hub import HfApi

    repository(repo)
    with tempfile.TemporaryDirectory(prefix="levelfield-hub-") as temporary:
        folder = Path(temporary) / path.resolve().name
        written = write_repository(path, repo, folder, licence=licence)
        api = HfApi(library_name="levelfield")
        asked(repo, lambda: api.create_repo(repo, private=private, exist_ok=True))
        message = f"Run {written['identity'][:16]} of levelfield: {written['model']} on {written['data']}"
        sent = asked(
            repo,
            lambda: api.upload_folder(
                repo_id=repo, folder_path=folder, commit_message=message, delete_patterns=[CALIBRATION]
            ),
        )
    return {**written, "commit": sent.oid, "source": str(HubSource(repo, sent.oid))}


def write_repository(path: Path, repo: str, folder: Path, *, licence: str | None = None) -> dict[str, Any]:
    """Write into `folder` the files that `push_run` sends to `repo`, and send nothing.

    Returns the same, with None for the commit. Raises UserError for a run whose network is made by code of the user's,
    which no repository carries, and for a folder that holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty\nname a new folder with --out")
    run = load_run(path)
    if run.spec.plugins:
        raise UserError(
            f"{path}: its network comes from your {Path(run.spec.plugins[0].path).name}, which a repository does not "
            "carry: nobody could load it\nlevelfield export writes a file that needs no code"
        )
    write_compact(run.folder, folder)
    calibration = run.folder.path / CALIBRATION
    if calibration.is_file():
        shutil.copy(calibration, folder / CALIBRATION)
    why_not = _write_config(run, folder)
    shutil.copy(run.folder.weights, folder / WEIGHTS)
    table, files = build_table(read_study(folder)), frozenset(each.name for each in folder.iterdir())
    for setup in (one for each in setups(table, files).values() for one in each if one.commands):
        write_text(folder / setup.file, setup.configuration)
    write_text(folder / CARD, to_card(table, licence, Shared(repo, why_not, files)))
    return {
        "repo": repo,
        "commit": None,
        "source": str(HubSource(repo)),
        "identity": run.folder.identity,
        "model": run.spec.model.name,
        "data": run.spec.data.name,
        "timm": not why_not,
        "timm_why_not": why_not or None,
        "files": [
            {"name": each.name, "bytes": each.stat().st_size, "sha256": hashlib.sha256(each.read_bytes()).hexdigest()}
            for each in sorted(folder.iterdir())
        ],
    }


def _write_config(run: LoadedRun, folder: Path) -> str:
    """Write config.json: of the run, and in timm's form too where timm then computes what the run computes. Says why
    it does not; empty where it does."""
    facts = _facts(run)
    general = {"num_classes": len(run.classes), "label_names": list(run.classes), "levelfield": facts}
    why_not = _in_timms_form(run, facts["preprocessing"], general, folder)
    if why_not:
        write_json(folder / CONFIG, {"library_name": "levelfield", **general})
    return why_not


def _facts(run: LoadedRun) -> dict[str, Any]:
    spec, described, calibration = run.spec, run.folder.description(), run.folder.calibration()
    size = spec.model.image_size
    normalize = Normalize(spec.recipe.augment.normalize, described["mean"], described["std"], torch.contiguous_format)
    return {
        "identity": run.folder.identity,
        "model": spec.model.name,
        "options": spec.model.options,
        "data": spec.data.name,
        "recipe": spec.recipe.name,
        "seed": spec.seed,
        "temperature": 1.0 if calibration is None else float(calibration["temperature"]),
        "preprocessing": {
            "image_size": size,
            "resize_px": spec.data.resize_px or size,
            "fit": spec.data.fit,
            "interpolation": spec.data.interpolation,
            "mean": list(normalize.mean),
            "std": list(normalize.std),
        },
    }


def _crop_share(size: int, resize_px: int) -> float:
    """timm's `crop_pct`, by which it finds the side to resize to: the whole part of size / crop_pct."""
    share = size / resize_px
    return share if math.floor(size / share) == resize_px else math.nextafter(share, 0.0)


def _in_timms_form(run: LoadedRun, prepared: dict[str, Any], general: dict[str, Any], folder: Path) -> str:
    """Write timm's files for the network into `folder` and try them out. Why they do not hold; empty where they do."""
    spec, size = run.spec, prepared["image_size"]
    if not spec.model.name.startswith(TIMM):
        return "its architecture is levelfield's own"
    if spec.model.channels is not None:
        return "channels have been pruned from it, and timm builds whole networks"
    if spec.recipe.quantize_aware is not None:
        return "its layers round as int8 does, and timm's do not"
    from levelfield.models.adapt_timm.timm_models import timm

    name = spec.model.name.removeprefix(TIMM).partition(".")[0]
    arguments = {key: value for key, value in spec.model.options.items() if key not in OF_TRAINING}
    try:
        network = timm.create_model(name, num_classes=len(run.classes), **arguments)
        network.load_state_dict(safetensors.torch.load_file(run.folder.weights))
        kept = ("architecture", "first_conv", "classifier", "pool_size", "fixed_input_size")
        network.pretrained_cfg = {
            **{key: network.pretrained_cfg[key] for key in kept if key in network.pretrained_cfg},
            "num_classes": len(run.classes), "input_size": (3, size, size), "interpolation": prepared["interpolation"],
            "crop_pct": _crop_share(size, prepared["resize_px"]), "crop_mode": CROP_MODES[prepared["fit"]],
            "mean": tuple(prepared["mean"]), "std": tuple(prepared["std"]),
        }  # fmt: skip
        timm.models.save_for_hf(
            network, folder, model_config=dict(general), model_args=arguments or None, safe_serialization=True
        )
        rebuilt = timm.create_model(f"local-dir:{folder}", pretrained=True)
        images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        with evaluation_mode(rebuilt), torch.inference_mode():
            own, timms = run.model(images), rebuilt(images)
        if float((own - timms).abs().max()) <= ALLOWED * float(own.abs().max()):
            return ""
    except Exception:  # of many kinds: other shapes, options that no file holds, a size that it was not built for
        pass
    return f"levelfield has fitted it to images of {size} px, in ways that timm does not know"
