"""Ways of carrying a run out that exclude one another are refused before anything is read."""

from __future__ import annotations

import pytest
import torch
from small_run import run_spec

from levelfield.data import from_arrays
from levelfield.errors import UserError
from levelfield.training.prepare_run import prepare, resolve


def test_graphs_and_parts_are_refused_before_data_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("data were read")

    monkeypatch.setattr("levelfield.training.prepare_run.open_data", never)
    spec = run_spec("execution.cuda_graphs=true", "execution.micro_batch=16")
    for opening in (resolve, prepare):
        with pytest.raises(UserError, match=r"cuda_graphs=true and execution\.micro_batch=16.*\n.*compile=true"):
            opening(spec)


def test_one_of_the_pair_alone_is_carried_out() -> None:
    images, labels = torch.zeros(64, 3, 16, 16, dtype=torch.uint8), torch.arange(64) % 10
    data = from_arrays((images, labels), (images, labels))
    for alone in ("execution.cuda_graphs=true", "execution.micro_batch=16", "execution.compile=true"):
        assert prepare(run_spec(alone), data=data).data.test is data.test
