"""The cost half of a study's table: every distinct network of a study profiled, beside what its author printed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from levelfield.errors import UserError
from levelfield.runs import RunFolder
from levelfield.spec import Channels
from levelfield.studies.declared.planned_runs import PlannedRow, planned_rows
from levelfield.studies.declared.published_figures import published_row
from levelfield.studies.declared.study import StudySpec
from levelfield.tables import read_study
from levelfield.tables.cost_columns import plain_channels
from levelfield.tables.runs_of_row import read_row

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from levelfield.cost import Setting

PUBLISHED_CONVENTION: Final = (
    "the authors print MACs (plus a little element-wise work) as FLOPs, and half of them as MACs"
)


@dataclass(frozen=True)
class Subject:
    """A network to profile: `label` names its row, `printed_macs` is what its author printed as FLOPs, `channels` says
    which are left where some have been removed.

    Classes and image size that are None are the network's own published ones.
    """

    label: str
    model: str
    classes: int | None = None
    image_size: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    printed_macs: float | None = None
    channels: Mapping[str, Channels] | None = None


def run_subject(run: RunFolder) -> Subject:
    """The network of a run, as narrow as it is. Raises UserError for one that no name stands for."""
    spec = run.spec()
    if run.description()["reproducible"] != "by name" and "digest" in spec.model.options:
        raise UserError(f"{run.path} trained a module of your own, which no name stands for: it is not profiled")
    model, place = spec.model, run.path.absolute()
    label = f"{model.name} ({place.parent.name}/{place.name})"
    return Subject(label, model.name, model.num_classes, model.image_size, model.options, channels=model.channels)


def study_subjects(
    name: str, plugins: Sequence[str] = (), scale: str = "full", into: Path | None = None
) -> tuple[list[Subject], list[str]]:
    """The distinct networks of a study at one of its scales, in its order, each with what its author printed; and the
    names of rows that are left out: they lose channels, which ones a run tells, and `into`, the study's folder, holds
    none of them.

    Classes and size that the study leaves to the data are those of the row's runs in `into`, else those of the
    catalogue; None for other data.
    """
    runs = {} if into is None else {row.name: read_row(row).spec for row in read_study(into).rows if row.runs}
    from levelfield.data.sources import catalog

    study = StudySpec.load(name)
    subjects: dict[str, Subject] = {}
    left_out = []
    for row in planned_rows(study, scale, plugins=plugins):
        spec = row.spec
        trained = runs.get(row.name)
        channels = None if trained is None else trained.model.channels
        if channels is None and trained is None and _cut(row):
            left_out.append(row.name)
            continue
        known = catalog.entry(spec.data.name)
        stored = known.pixels.partition("x")[0] if known else ""
        network = spec.model if trained is None else trained.model
        classes = network.num_classes or (known.classes if known else None)
        size = network.image_size or spec.data.image_size or (int(stored) if stored.isdigit() else None)
        published = published_row(study.name, row.published)
        printed = published.values.get("macs") if published else None
        subject = Subject(row.name, spec.model.name, classes, size, spec.model.options, printed, channels)
        same = json.dumps(
            [subject.model, classes, size, dict(subject.options), plain_channels(channels)], sort_keys=True
        )
        subjects.setdefault(same, subject)
    return list(subjects.values()), left_out


def _cut(row: PlannedRow) -> bool:
    """Whether a row, not trained yet, will have fewer channels than its network by name."""
    start = row.spec.model.start_from
    if row.spec.recipe.prune_channels is not None or (row.first is not None and _cut(row.first)):
        return True
    if start is None or not (before := RunFolder(Path(start.source).expanduser())).exists():
        return False
    return before.spec().model.channels is not None


def resolved(subject: Subject, classes: int | None = None, image_size: int | None = None) -> Subject:
    """`subject` with its classes and size: those given, else its own, else the network's. Raises UserError."""
    from levelfield.models import model_info

    info = model_info(subject.model)
    return replace(
        subject,
        classes=classes or subject.classes or info.num_classes,
        image_size=image_size or subject.image_size or info.image_size,
    )


def profile_subject(
    subject: Subject,
    setting: Callable[..., Setting],
    plugins: Sequence[str] = (),
    measure: Callable[[Setting], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """What a resolved `subject` costs, as plain JSON values (`cost.profile`'s, with what they were measured on and the
    printed pair). `setting` makes a `cost.Setting` of what is the subject's own: `build` and `image_size`. `measure`:
    instead of `cost.profile`, the thorough one.
    """
    from levelfield.cost import profile

    assert subject.classes is not None and subject.image_size is not None
    builder = functools.partial(
        build, subject.model, subject.classes, subject.image_size, dict(subject.options), tuple(plugins),
        subject.channels,
    )  # fmt: skip
    explain = functools.partial(explained, subject)
    made = replace(setting(build=builder, image_size=subject.image_size), explain=explain)
    measured = (measure or profile)(made)
    named = {"name": subject.label, "model": subject.model, "classes": subject.classes}
    named |= {"image_size": subject.image_size, "options": dict(subject.options)}
    named |= {"channels": plain_channels(subject.channels), "batch": made.batch}
    return {**named, **measured, "device": made.device, "dtype": made.dtype, **_published(subject, measured["macs"])}


def explained(subject: Subject, error: Exception) -> Exception | None:
    """`error`, met while a resolved `subject` was measured, as one of the user's code or of the images' size."""
    from levelfield.models.registry import size_misfit
    from levelfield.models.users_code import failed_in_plugin

    assert subject.classes is not None and subject.image_size is not None
    told = failed_in_plugin(error)
    return told or size_misfit(error, subject.model, subject.classes, subject.image_size, subject.options)


def build(
    model: str, classes: int, image_size: int, options: dict[str, Any], plugins: tuple[str, ...],
    channels: Mapping[str, Channels] | None = None,
) -> nn.Module:  # fmt: skip
    """Build a network, in the form in which it trains, in the fresh process that measures it."""
    from levelfield.models import create_model, load_plugin
    from levelfield.models.channels import narrow
    from levelfield.models.training_form import training_form

    for path in plugins:
        load_plugin(path)
    network = create_model(model, classes, image_size, **options)
    narrow(network, channels or {})
    return training_form(network)


def deploy(model: nn.Module, images: Tensor, dtype: torch.dtype) -> tuple[nn.Module, dict[str, Any]]:
    """`levelfield.models.deploy.deployed` in the process that measures, and its account as plain JSON values."""
    from levelfield.models.deploy import deployed

    form = deployed(model, images, dtype)
    return form, asdict(form.account)


def _published(subject: Subject, macs: int) -> dict[str, Any]:
    """The printed pair beside ours: what the author calls FLOPs and MACs, and ours as a multiple of the former."""
    if subject.printed_macs is None:
        return {}
    printed = subject.printed_macs
    return {
        "published": {
            "printed_flops": printed,
            "printed_macs": printed / 2,
            "macs_ratio": macs / printed,
            "convention": PUBLISHED_CONVENTION,
        }
    }
