"""What the Tab key completes: models, data sets, recipes, studies. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def models(incomplete: str) -> list[str]:
    """Built-in models; timm's once `timm` is typed."""
    from levelfield.known_models import TIMM, known_names, timm_names

    if incomplete.startswith(TIMM.rstrip(":")):
        return _beginning(incomplete, (TIMM + name for name in timm_names()))
    return _beginning(incomplete, known_names())


def data_sets(incomplete: str) -> list[str]:
    """Data sets that are known by name, wherever they are."""
    from levelfield.data.sources.catalog import DATASETS
    from levelfield.data.sources.locate import imports

    return _beginning(
        incomplete, {*(known.name for known in DATASETS), *(file.stem for file in imports().glob("*.json"))}
    )


def recipes(incomplete: str) -> list[str]:
    """Shipped recipes, their variants once a `+` is typed, and .yaml files."""
    from levelfield.spec.recipe_files import list_recipes, recipe_variants

    base, plus, _ = incomplete.rpartition("+")
    if plus and (name := base.partition("+")[0]) in list_recipes():
        return _beginning(incomplete, (f"{base}+{variant}" for variant in recipe_variants(name)))
    return [*_beginning(incomplete, list_recipes()), *_yaml_files(incomplete)]


def studies(incomplete: str) -> list[str]:
    """Shipped studies, .yaml files, and folders that hold a study."""
    from levelfield.studies.declared.study_file import list_studies

    folders = [str(path) for path in _beside(incomplete) if (path / "study.json").is_file()]
    return [*_beginning(incomplete, list_studies()), *_yaml_files(incomplete), *folders]


def sides(incomplete: str) -> list[str]:
    """What a gate compares: models, recipes, or folders of runs."""
    folders = [str(path) for path in _beside(incomplete) if path.is_dir()] if incomplete else []
    return [*models(incomplete), *recipes(incomplete), *folders]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def _beside(incomplete: str) -> list[Path]:
    """What lies where the path that is typed leads, and begins as it does."""
    folder, _, start = incomplete.rpartition("/")
    place = Path(folder or ("/" if incomplete.startswith("/") else "."))
    try:
        return sorted(path for path in place.iterdir() if path.name.startswith(start) and not path.name.startswith("."))
    except OSError:
        return []


def _yaml_files(incomplete: str) -> list[str]:
    return [str(path) for path in _beside(incomplete) if path.suffix in (".yaml", ".yml")]
