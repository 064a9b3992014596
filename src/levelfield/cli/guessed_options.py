"""Options that one guesses and that levelfield says with --set: a wrong one is answered with the key that it means."""

from __future__ import annotations

from typing import Final

from levelfield.errors import UserError

KEYS: Final = {
    "--epochs": "budget.epochs",
    "--steps": "budget.steps",
    "--lr": "recipe.optimizer.lr",
    "--learning-rate": "recipe.optimizer.lr",
    "--weight-decay": "recipe.optimizer.weight_decay",
    "--wd": "recipe.optimizer.weight_decay",
    "--optimizer": "recipe.optimizer.name",
    "--batch-size": "recipe.batch_size",
    "--bs": "recipe.batch_size",
    "--precision": "recipe.precision",
    "--validation": "recipe.validation",
    "--label-smoothing": "recipe.regularisation.label_smoothing",
    "--image-size": "data.image_size",
    "--img-size": "data.image_size",
    "--train-limit": "data.train_limit",
    "--device": "execution.device",
    "--workers": "execution.workers",
    "--num-workers": "execution.workers",
    "--compile": "execution.compile",
}


def meant(error: Exception) -> UserError | None:
    """What to say instead of Click's `error`: of a guessed option of a command that has --set. None of all others."""
    option = getattr(error, "option_name", None)
    context = getattr(error, "ctx", None)
    if option is None or context is None or type(error).__name__ != "NoSuchOption":
        return None
    option = "--" + option.lstrip("-").replace("_", "-")
    takes_set = any("--set" in parameter.opts for parameter in context.command.params)
    if option not in KEYS or not takes_set:
        return None
    return UserError(f"{context.command_path} has no option {option}\nsay it as a key: --set {KEYS[option]}=VALUE")
