"""The library's own door: what `lf.train` and `lf.evaluate` honour or refuse, and what they leave as it was."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_run import run_spec
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import levelfield as lf
from levelfield.data import ImageData, from_arrays
from levelfield.errors import UserError
from levelfield.float32 import switches
from levelfield.runs import RunFolder
from levelfield.spec import DataSpec, Recipe
from levelfield.spec.recipe import Freeze, Regularisation
from levelfield.training.api import _prepare
from levelfield.training.restore_global_settings import host_unchanged

QUIET: dict[str, Any] = {"device": "cpu", "threads": 1, "loggers": ()}
RECIPE = Recipe.parse({"batch_size": 16, "precision": "fp32", "validation": 0.0}, "recipe")


def own_data(seed: int = 0, order: bool = False) -> ImageData:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (60, 3, 8, 8), dtype=torch.uint8, generator=draw)
    labels = torch.arange(60) % 3
    images[:, 0] = (images[:, 0] // 4 + 60 * labels[:, None, None]).to(torch.uint8)
    rows = torch.randperm(40, generator=draw) if order else torch.arange(40)
    return from_arrays((images[rows], labels[rows]), (images[40:], labels[40:]))


class Net(nn.Module):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(pooled(self.norm(x)) * self.scale)
        return y


def pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3))


class Other(Net):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(-pooled(self.norm(x)) * self.scale)
        return y


Other.__name__ = Other.__qualname__ = "Net"  # another forward under the same printed form


def net(kind: Callable[..., Net] = Net, **options: Any) -> Net:
    torch.manual_seed(5)
    return kind(**options)


def train(model: Any, out: Path, **changes: Any) -> Any:
    settings: dict[str, Any] = {"data": own_data(), "recipe": RECIPE, "epochs": 2, **QUIET} | changes
    return lf.train(model=model, out=out, **settings)


def test_what_is_given_beside_a_run_is_honoured_or_refused(tmp_path: Path) -> None:
    spec = run_spec("budget={steps: 2}")
    results = {seed: lf.train(spec, tmp_path / str(seed), seed=seed) for seed in (0, 1)}
    assert [results[seed].folder.spec().seed for seed in (0, 1)] == [0, 1]
    assert results[0].result["loss"] != results[1].result["loss"]
    longer = lf.train(spec, tmp_path / "longer", epochs=1, workers=0)
    assert longer.result["steps"] == 7 and longer.folder.spec().execution.workers == 0
    for refused in ({"recipe": "cpu-fast"}, {"model": "vit_mini"}, {"data": "digits"}, {"image_size": 8}):
        with pytest.raises(UserError, match="given beside run"):
            lf.train(spec, tmp_path / "refused", **refused)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="not on this machine"):
        lf.train(spec, tmp_path / "refused", device="cuda:9")
    with pytest.raises(UserError, match="did you mean 'workers'"):
        lf.train(spec, tmp_path / "refused", wrokers=1)


def test_a_module_is_left_as_it_was_and_seeds_do_not_warm_start(tmp_path: Path) -> None:
    module = net()
    module.norm.eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    weights = []
    for number in range(2):  # the same seed twice: equal only if the second began where the first did
        run = train(module, tmp_path / str(number))
        weights.append(run.folder.weights.read_bytes())
    assert weights[0] == weights[1]
    lf.evaluate(module, own_data(), device="cpu")
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert not module.norm.training and module.training
    assert all(parameter.grad is None for parameter in module.parameters())


def test_other_networks_of_ones_own_are_other_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = train(net(), tmp_path / "run")
    again = train(net(), tmp_path / "run")
    assert again.result == first.result
    assert "is taken from there" in capsys.readouterr().err
    renewed = net()
    with torch.no_grad():
        renewed.head.bias += 1.0
    for other in (net(Other), renewed, net(scale=2.0), lambda num_classes: net()):
        with pytest.raises(UserError, match="holds another run"):
            train(other, tmp_path / "run")


def test_a_function_that_the_network_calls_is_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(net(), tmp_path / "run")
    monkeypatch.setitem(globals(), "pooled", lambda x: x.amax((2, 3)))
    with pytest.raises(UserError, match="holds another run"):
        train(net(), tmp_path / "run")


def test_a_factory_is_seeded_whatever_it_draws_from(tmp_path: Path) -> None:
    def factory(num_classes: int) -> nn.Module:
        made = Net(scale=1.0 + random.random() + np.random.rand())
        made.head = nn.Linear(3, num_classes)
        return made

    first = train(factory, tmp_path / "run")
    assert train(factory, tmp_path / "run").result == first.result
    assert train(factory, tmp_path / "again").folder.identity == first.folder.identity
    assert train(factory, tmp_path / "seed", seed=1).folder.identity != first.folder.identity


def test_parameters_that_the_caller_froze_are_not_thawed_silently(tmp_path: Path) -> None:
    module = net()
    module.norm.requires_grad_(False)
    with pytest.raises(UserError, match=r"freeze\.patterns"):
        train(module, tmp_path / "run")
    recipe = RECIPE.model_copy(update={"freeze": Freeze(patterns=("norm.*",))})
    run = train(module, tmp_path / "run", recipe=recipe)
    assert run.result["trainable_params"] == 12


def test_the_default_folder_is_each_runs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [lf.train(model=net(), data=own_data(), recipe=RECIPE, epochs=1, seed=seed, **QUIET) for seed in (0, 1)]
    assert len({run.folder.path for run in runs}) == 2
    assert all(run.folder.path.name.endswith(run.folder.identity[:8]) for run in runs)


def test_own_data_are_told_apart_by_content_and_not_by_order(tmp_path: Path) -> None:
    first = train(net(), tmp_path / "first")
    shuffled = train(net(), tmp_path / "shuffled", data=own_data(order=True))
    assert shuffled.folder.identity == first.folder.identity
    assert shuffled.folder.weights.read_bytes() == first.folder.weights.read_bytes()
    with pytest.raises(UserError, match="holds another run"):
        train(net(), tmp_path / "first", data=own_data(seed=1))
    whole = own_data()
    part = ImageData(**(vars(whole) | {"train": whole.train.subset(torch.arange(30))}))
    with pytest.raises(UserError, match="holds another run"):
        train(net(), tmp_path / "first", data=part)


def test_the_best_epoch_of_own_data_is_chosen_on_a_slice_of_train(tmp_path: Path) -> None:
    chosen = RECIPE.model_copy(update={"selection": "best_validation", "validation": 0.3})
    run = train(net(), tmp_path / "run", recipe=chosen, epochs=4)
    assert run.result["best_epoch"] in (1, 2, 3, 4)
    epochs = [line for line in run.history if line["kind"] == "epoch"]
    assert run.result["val_top1"] == max(line["val_top1"] for line in epochs)
    assert epochs[0]["samples"] == 28
    assert run.folder.spec().data.validation == 0.3
    whole = own_data()
    given = ImageData(**(vars(whole) | {"validation": whole.test}))  # a slice of one's own: nothing is cut
    run = train(net(), tmp_path / "given", recipe=chosen, data=given)
    assert run.result["best_epoch"] is not None and run.folder.spec().data.validation == 0.0
    assert next(line for line in run.history if line["kind"] == "epoch")["samples"] == 40
    with pytest.raises(UserError, match="best_validation needs"):
        train(net(), tmp_path / "none", recipe=RECIPE.model_copy(update={"selection": "best_validation"}))


def test_image_size_is_honoured_or_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="image_size is 16"):
        train(net(), tmp_path / "run", image_size=16)
    with pytest.raises(UserError, match="image_size is 16"):
        lf.evaluate(net(), own_data(), image_size=16)


def host_state() -> dict[str, Any]:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    parts: list[Any] = [matmul, cudnn.conv, cudnn.rnn]  # type: ignore[attr-defined]
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "cudnn": (cudnn.benchmark, cudnn.deterministic, cudnn.enabled, cudnn.allow_tf32, matmul.allow_tf32),
        "float32": ([part.fp32_precision for part in parts], torch.get_float32_matmul_precision()),
        "grad": (torch.is_grad_enabled(), torch.get_default_dtype()),
        "generators": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),  # type: ignore[index]
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "folder": Path.cwd(),
    }


@pytest.mark.parametrize("set_by_host", [False, True])
def test_the_host_program_is_left_as_it_was(set_by_host: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that a run sets for the process is put back, whatever it was before, also after an error."""
    import levelfield.memory_allocator as allocator

    def touched(*_: object) -> None:
        raise AssertionError("malloc was set")

    monkeypatch.setattr(allocator.ctypes, "CDLL", touched)
    with host_unchanged():  # this test is a guest too
        torch.use_deterministic_algorithms(set_by_host, warn_only=False)
        torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
        torch.set_num_threads(2)
        torch.backends.cudnn.benchmark = set_by_host
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = set_by_host
        before = host_state()
        lf.train(run_spec("budget={steps: 2}", "recipe.tf32=true"), tmp_path / "run")
        assert host_state() == before
        lf.evaluate(tmp_path / "run")
        assert host_state() == before
        lf.load_run(tmp_path / "run")
        assert host_state() == before
        with pytest.raises(UserError):
            lf.train(run_spec("recipe.optimizer={name: sgd, lr: 1.0e18}", "budget.epochs=4"), tmp_path / "failed")
        assert host_state() == before


def folders(root: Path, swapped: bool = False) -> Path:
    from PIL import Image

    draw = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 6)):
        for label in ("a", "b"):
            shown = {"a": "b", "b": "a"}[label] if swapped and split == "test" else label
            (root / split / shown).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 100, (16, 16, 3), dtype=np.uint8) + np.uint8(100 * (label == "b"))
                Image.fromarray(pixels).save(root / split / shown / f"{number}.png")
    return root


def test_a_run_is_evaluated_on_what_it_was_trained_on_or_not_at_all(tmp_path: Path) -> None:
    folders(tmp_path / "data" / "mine")
    spec = run_spec(
        "data.name=mine", "data.train_limit=null", "data.test_limit=null", "recipe.batch_size=8", "budget.epochs=8",
        f"execution.data_dir={tmp_path / 'data'}",
    )  # fmt: skip
    run = lf.train(spec, tmp_path / "run")
    assert lf.evaluate(tmp_path / "run").top1 == run.result["top1"]  # the data folder is the run's own
    import shutil

    shutil.rmtree(tmp_path / "data" / "mine")
    folders(tmp_path / "data" / "mine", swapped=True)
    with pytest.raises(UserError, match="not what the run was trained on"):
        lf.evaluate(tmp_path / "run")


@pytest.mark.parametrize("fitted", [["data.interpolation=bicubic"], ["data.fit=crop"], ["data.test_limit=7"]])
def test_other_data_are_read_as_the_runs_own_were(fitted: list[str], tmp_path: Path) -> None:
    for name in ("mine", "other"):
        folders(tmp_path / name)
    spec = run_spec(
        f"data.name=folder:{tmp_path / 'mine'}", "data.image_size=13", "data.train_limit=null", "data.test_limit=null",
        "recipe.batch_size=8", "budget.epochs=1", *fitted,
    )  # fmt: skip
    own = lf.train(spec, tmp_path / "run").result
    other = lf.evaluate(tmp_path / "run", f"folder:{tmp_path / 'other'}", device="cpu")
    assert other.loss == pytest.approx(own["loss"], rel=1e-6)


def test_a_run_is_evaluated_in_its_own_precision(tmp_path: Path) -> None:
    run = lf.train(run_spec("recipe.precision=bf16", "budget.epochs=1"), tmp_path / "run")
    assert lf.evaluate(tmp_path / "run").loss == run.result["loss"]
    weights = lf.load_run(tmp_path / "run").model
    digits = lf.open_data(RunFolder(tmp_path / "run").spec().data)
    assert lf.evaluate(weights, digits).loss != run.result["loss"]  # float32


def test_classes_in_another_order_are_refused(tmp_path: Path) -> None:
    lf.train(run_spec("budget={steps: 1}"), tmp_path / "run")
    loaded = lf.load_run(tmp_path / "run")
    digits = lf.open_data(loaded.spec.data)
    turned = ImageData(**(vars(digits) | {"classes": digits.classes[::-1]}))
    with pytest.raises(UserError, match="in the run's order"):
        lf.evaluate(loaded, turned)
    with pytest.raises(UserError, match="10 classes"):
        lf.evaluate(loaded, own_data())
    assert next(loaded.model.parameters()).device.type == "cpu"


def test_own_data_are_told_apart_by_how_their_images_were_fitted(tmp_path: Path) -> None:
    from PIL import Image

    draw = np.random.default_rng(0)
    for split, label, number in ((s, c, n) for s in ("train", "test") for c in "ab" for n in range(8)):
        (tmp_path / "data" / split / label).mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (12, 20) if number % 2 else (20, 12), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / split / label / f"{number}.png")
    changes: list[dict[str, Any]] = [
        {},
        {"fit": "crop"},
        {"fit": "pad"},
        {"interpolation": "bicubic"},
        {"resize_px": 9},
    ]
    opened: list[ImageData] = []
    for change in changes:
        spec = DataSpec.parse({"name": f"folder:{tmp_path / 'data'}", "image_size": 8, **change}, "data")
        opened += [lf.open_data(spec), lf.open_data(spec, pixels="encoded")]
    identities = [_prepare("resnet_nano", data, RECIPE, 1, 0, None, {}).identity for data in opened]
    assert len({*identities[::2]}) == len({*identities[1::2]}) == len(changes)
    again = _prepare("resnet_nano", opened[0], RECIPE, 1, 0, None, {})
    assert again.identity == identities[0]


def test_changed_pixels_of_ones_own_are_other_data() -> None:
    data = own_data()
    first = _prepare("resnet_nano", data, RECIPE, 1, 0, None, {}).identity
    whole = data.train.pixels.whole()
    assert whole is not None
    whole //= 4
    assert _prepare("resnet_nano", data, RECIPE, 1, 0, None, {}).identity != first


def test_what_a_data_loader_does_beside_its_dataset_is_refused() -> None:
    pixels = TensorDataset(own_data().train.read(torch.arange(40)), torch.arange(40) % 3)
    whole = DataLoader(pixels, batch_size=8, shuffle=True, drop_last=True)
    assert len(_prepare("resnet_nano", (whole, DataLoader(pixels)), RECIPE, 1, 0, None, {}).data.train) == 40
    part = SubsetRandomSampler(range(10))
    for loader in (
        DataLoader(pixels, sampler=part),
        DataLoader(pixels, batch_size=None, sampler=part),
        DataLoader(pixels, batch_sampler=BatchSampler(part, 4, False)),
        DataLoader(pixels, sampler=RandomSampler(pixels, replacement=True)),
        DataLoader(pixels, sampler=RandomSampler(pixels, num_samples=10)),
        DataLoader(pixels, sampler=WeightedRandomSampler([1.0] * 40, 40)),
        DataLoader(pixels, batch_sampler=[[0, 1], [2, 3]]),
    ):
        with pytest.raises(UserError, match=r"torch\.utils\.data\.Subset"):
            _prepare("resnet_nano", (whole, loader), RECIPE, 1, 0, None, {})
    with pytest.raises(UserError, match="collate_fn is not taken over"):
        _prepare("resnet_nano", (DataLoader(pixels, collate_fn=list), whole), RECIPE, 1, 0, None, {})


def test_crops_of_images_that_were_made_square_are_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Recipe.parse({"augment": {"crop": {"name": "random_resized_crop"}}, "validation": 0.0}, "recipe")
    prepared = _prepare("resnet_nano", own_data(), recipe, 1, 0, None, {})
    assert any("images as they were given, squares of 8 px" in note for note in prepared.data.notes)
    assert "squares of 8 px" in capsys.readouterr().err
    assert not any("squares" in note for note in _prepare("resnet_nano", own_data(), RECIPE, 1, 0, None, {}).data.notes)


def test_a_module_that_does_not_fit_the_images_is_named(tmp_path: Path) -> None:
    misfit = nn.Sequential(nn.Flatten(), nn.Linear(7, 3))
    with pytest.raises(
        UserError, match=r"own:Sequential cannot take images of 3 channels and 8 px \(RuntimeError: mat1"
    ):
        train(misfit, tmp_path / "run")


def test_dropout_that_a_module_cannot_be_given_is_said_and_makes_no_other_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = RECIPE.model_copy(update={"regularisation": Regularisation(dropout=0.5, drop_path=0.1)})
    plain, dropped = (_prepare(net(), own_data(), recipe, 1, 0, None, {}) for recipe in (RECIPE, asked))
    assert plain.identity == dropped.identity and dropped.spec.recipe.regularisation.dropout is None
    assert "regularisation.dropout=0.5" in capsys.readouterr().err


@pytest.mark.parametrize("asked", ["high", "medium"])
def test_the_precision_that_the_host_program_asks_of_torch_is_not_the_runs(asked: str, tmp_path: Path) -> None:
    crops = run_spec("budget={steps: 2}", "recipe.augment.crop={name: random_resized_crop}")
    plain = lf.train(crops, tmp_path / "plain")
    inside: list[list[str]] = []

    class Seen(Net):
        def forward(self, x: Tensor) -> Tensor:
            inside.append([part.fp32_precision for part in switches()])
            return super().forward(x)

    with host_unchanged():
        torch.set_float32_matmul_precision(asked)
        seeing = net(Seen)
        before = host_state()
        assert lf.train(crops, tmp_path / "asked").result["loss"] == plain.result["loss"]
        assert host_state() == before
        train(seeing, tmp_path / "own", epochs=1)
        lf.evaluate(seeing, own_data(), device="cpu")
        assert host_state() == before
        torch.backends.cuda.matmul.fp32_precision = "ieee"  # now the older switches cannot be read any more
        newer = [part.fp32_precision for part in switches()]
        lf.evaluate(seeing, own_data(), device="cpu")
        assert [part.fp32_precision for part in switches()] == newer
    assert {*inside[-1]} == {"ieee"} and {*map(tuple, inside[1:])} == {("ieee",) * 6}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "lr": ({"lr": 2}, r"no argument 'lr'; the recipe says it \(optimizer\.lr\)"),
    "epoch": ({"epoch": 2}, "did you mean 'epochs'"),
    "plugins": ({"plugins": ["mine.py"]}, "import the file that registers the model"),
    "two names": (
        {"run": "resnet_nano", "out": "digits", "model": None, "data": None},
        "run must be a RunSpec, not str",
    ),
    "a recipe's keys": ({"recipe": {"batch_size": 8}}, "recipe must be a name, a .yaml file or a Recipe, not dict"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_told_in_one_line(case: str) -> None:
    given, said = WRONG[case]
    with pytest.raises(UserError, match=said) as error:
        lf.train(**{"model": "resnet_nano", "data": "digits", **given})
    assert len(str(error.value).splitlines()) <= 2
