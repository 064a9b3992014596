"""What to install where a package is missing: a light installation reads and reports results without torch."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from typing import Final

from levelfield.errors import UserError

PACKAGES: Final = {
    "torch": "torch", "torchvision": "torchvision", "timm": "timm", "huggingface_hub": "huggingface-hub",
    "numpy": "numpy", "pydantic": "pydantic",
    "yaml": "pyyaml", "typer": "typer", "rich": "rich", "sklearn": "scikit-learn", "scipy": "scipy",
    "statsmodels": "statsmodels", "pyarrow": "pyarrow", "PIL": "pillow", "safetensors": "safetensors",
    "tensorboard": "tensorboard", "altair": "altair", "vl_convert": "vl-convert-python",
}  # fmt: skip
"""What levelfield declares that it needs: the name that is imported, and the one that is installed."""


def what_to_install(error: Exception) -> UserError | None:
    """A package that levelfield needs and that is not installed, with what to do; None of another error."""
    if isinstance(error, PackageNotFoundError):  # its version was asked for
        if error.name == "levelfield":
            return UserError(
                "levelfield is on Python's path here, but not installed, so that it has no version to state\n"
                "in the folder with its pyproject.toml: pip install -e ."
            )
        package = error.name if error.name in PACKAGES.values() else None
    elif isinstance(error, ModuleNotFoundError):
        package = PACKAGES.get((error.name or "").partition(".")[0])
    else:
        return None
    if package is None:
        return None
    if package == "torch":
        return UserError(
            "this needs torch, which is not installed here: this installation reads and reports results\n"
            "to train, evaluate and profile: pip install levelfield"
        )
    return UserError(f"this needs {package}, which is not installed here\npip install {package}")
