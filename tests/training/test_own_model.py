"""The digest of a network of one's own: everything that it computes with is in it, or it never comes again."""

from __future__ import annotations

import argparse
import functools
import operator
import re
import subprocess
import sys
import threading
import types
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from levelfield.errors import UserError
from levelfield.training.own_model import OwnModel


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


class Counted(list[int]):
    value = 0


class Holds(nn.Module):
    gain: Any = 1.0

    def __init__(self, held: object) -> None:
        super().__init__()
        self.held = held

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) * self.gain


def digest(held: object) -> str:
    own = OwnModel.of(Holds(held))
    module = own.build()
    assert isinstance(module, nn.Module)
    return own.digest(module)


def counted(value: int) -> Counted:
    made = Counted([1])
    made.value = value
    return made


KINDS: dict[str, Callable[[int], object]] = {
    "array": lambda v: np.array([float(v)]),
    "numpy number": lambda v: np.int16(v),
    "argparse": lambda v: argparse.Namespace(k=v),
    "namespace": lambda v: types.SimpleNamespace(k=v),
    "range": lambda v: range(v),
    "slice": lambda v: slice(v),
    "deque": lambda v: deque([v]),
    "fraction": lambda v: Fraction(v, 7),
    "path": lambda v: Path(str(v)),
    "bytearray": lambda v: bytearray(v),
    "size": lambda v: torch.Size([v]),
    "getter": lambda v: operator.itemgetter(v),
    "pattern": lambda v: re.compile(f"a{v}"),
    "builtin": lambda v: (torch.relu, torch.tanh, torch.sigmoid)[v],
    "ufunc": lambda v: (np.sin, np.cos, np.tan)[v],
    "closure": lambda v: lambda x: x * v,
    "cached": lambda v: functools.lru_cache(lambda x: x * v),
    "slots": Slotted,
    "subclass of a list": counted,
    "the same twice": lambda v: [torch.relu, torch.tanh, (torch.relu, torch.tanh)[v - 1]],
    "nested": lambda v: {"a": [types.SimpleNamespace(k=deque([v]))]},
    "lengths": lambda v: [[1] * v, [1] * (3 - v)],
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_module_holds_is_part_of_it(kind: str) -> None:
    make = KINDS[kind]
    assert digest(make(1)) == digest(make(1))
    assert digest(make(1)) != digest(make(2))


def test_what_its_class_holds_is_part_of_it_however_it_came_there(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {digest(0)}
    for gain in (5.0, np.array([2.0]), torch.ones(1)):
        monkeypatch.setattr(Holds, "gain", gain)
        digests |= {digest(0), digest(0)}
    assert len(digests) == 4


def test_a_global_of_the_name_of_a_method_is_not_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(0)
    monkeypatch.setitem(globals(), "mean", 3)
    assert digest(0) == before


class Locked:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __deepcopy__(self, memo: object) -> Locked:
        return self


def test_what_cannot_be_told_never_comes_again_and_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Locked()
    assert digest(held) != digest(held)
    assert "own:Holds leads to a _thread.lock, and what that computes cannot be told" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="could not agree"):
        digest(held)


def test_a_model_that_the_program_registered_is_told_apart_by_more_than_its_name(tmp_path: Path) -> None:
    from small_run import run_spec

    import levelfield as lf
    from levelfield.models import registry

    def registered(gain: float) -> None:
        registry._models.pop("registered_in_a_test", None)

        @lf.register_model("registered_in_a_test")
        def build(num_classes: int, width: int = 4) -> nn.Module:
            made = nn.Sequential(Holds(gain), nn.Linear(3, width), nn.Linear(width, num_classes))
            made[0].gain = gain
            return made

    spec = run_spec("model={name: registered_in_a_test, options: {width: 5}}", "budget={steps: 2}")
    try:
        registered(1.0)
        first = lf.train(spec, tmp_path / "run")
        assert first.folder.description()["reproducible"] == "not reproducible by name"
        assert lf.train(spec, tmp_path / "run").result == first.result
        assert lf.train(first.folder.spec(), tmp_path / "again").folder.identity == first.folder.identity
        assert lf.evaluate(tmp_path / "run").loss == first.result["loss"]
        registered(9.0)
        with pytest.raises(UserError, match="holds another run"):
            lf.train(spec, tmp_path / "run")
        with pytest.raises(UserError, match="is not what the run was made with"):
            lf.train(first.folder.spec(), tmp_path / "other")
    finally:
        registry._models.pop("registered_in_a_test", None)
    with pytest.raises(UserError, match="pass factory"):
        lf.load_run(tmp_path / "run")


def test_no_model_of_levelfield_is_taken_for_the_programs() -> None:
    """In a process of its own: other tests register models in this one."""
    code = "from levelfield.models import list_models, program_builder\n"
    code += "print([name for name in list_models() if program_builder(name) is not None])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
