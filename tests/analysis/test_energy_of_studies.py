"""The energy of a study's rows: what is measured is compared, what is estimated is named so and decides nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from levelfield.analysis.energy import energy
from levelfield.analysis.studied_rows import studied
from levelfield.errors import UserError
from levelfield.page.page import page
from levelfield.runs import RunFolder, write_json
from levelfield.tables import build_table, read_study
from levelfield.tables.text.energy import cells
from synthetic_runs import write_two_models

METER = "the bench"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_two_models(tmp_path)


def change(folder: Path, **values: object) -> dict[str, float]:
    result = json.loads((folder / "result.json").read_text(encoding="utf-8")) | values
    write_json(folder / "result.json", result)
    return dict(result)


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_what_a_gpu_measured_is_compared_and_a_shared_processor_decides_nothing(study: Path, device: str) -> None:
    for model, joules in (("resnet_mini", 50_000), ("vit_mini", 20_000)):
        for seed in range(3):
            values = {"train_joules": joules + 100 * seed, "energy_of": METER, "device": device}
            said = change(study / model / f"seed{seed}", **values)
    answer = energy(studied(study, "resnet_mini"), watts=1000.0)
    run = answer["rows"][1]["runs"][2]
    assert (run["measured"], run["of"], run["kilojoules"]) == (True, METER, 20.2)
    assert run["joules_per_point"] == pytest.approx(20_200 / (said["top1"] - 10))
    assert run["joules_per_1000_seen"] == pytest.approx(20_200 / said["samples_seen"] * 1e3)
    if device == "cpu":
        assert answer["differences"] == []
        return
    of_a_training = next(one for one in answer["differences"] if one["measure"] == "kilojoules")
    assert of_a_training["estimate"] == pytest.approx(-30) and of_a_training["verdict"] == "better"
    assert cells(answer["rows"][1])[:3] == ("vit_mini", "3", "20.1") and cells(answer["rows"][1])[-1] == METER


@pytest.mark.parametrize(
    ("gpus", "said"),
    [
        (("H100", "H100"), ""),
        (("H100", "T4"), "not compared: trained on T4, resnet_mini on H100"),
        (("", "T4"), "not compared: trained on T4, resnet_mini on no GPU"),
    ],
)
def test_between_gpus_of_two_models_nothing_is_decided(study: Path, gpus: tuple[str, str], said: str) -> None:
    for model, gpu, joules in (("resnet_mini", gpus[0], 50_000), ("vit_mini", gpus[1], 20_000)):
        for seed in range(3):
            run = study / model / f"seed{seed}"
            change(run, train_joules=joules + 100 * seed, energy_of=METER, device="cuda")
            if gpu:
                write_json(run / "environment.json", RunFolder(run).environment() | {"gpu": gpu})
    answer = energy(studied(study, "resnet_mini"))
    assert answer["left_out"] == ({"vit_mini": said} if said else {})
    assert bool(answer["differences"]) == (not said)
    assert [run["kilojoules"] for run in answer["rows"][1]["runs"]] == [20, 20.1, 20.2]


def test_an_estimate_is_named_so_and_decides_nothing(study: Path) -> None:
    with pytest.raises(UserError, match=r"no run in .* had an energy meter(.|\n)*--watts N"):
        energy(studied(study))
    said = change(study / "vit_mini" / "seed0", train_seconds=100.0, compile_seconds=20.0)
    answer = energy(studied(study), watts=30.0)
    run = answer["rows"][1]["runs"][0]
    assert run["kilojoules"] == pytest.approx(3.6) and run["of"] == "estimated at 30 W" and not run["measured"]
    assert said["top1"] > 10 and answer["differences"] == []


def test_a_row_at_chance_has_no_price_of_a_point(study: Path) -> None:
    change(study / "vit_mini" / "seed0", top1=9.5)
    row = energy(studied(study), watts=30.0)["rows"][1]
    assert row["runs"][0]["joules_per_point"] is None and row["runs"][1]["joules_per_point"] > 0


def test_the_page_shows_it_where_it_was_computed(study: Path) -> None:
    assert "What did it take in energy?" not in page(build_table(read_study(study)))
    (study / "analysis").mkdir()
    write_json(study / "analysis" / "energy.json", energy(studied(study), watts=30.0))
    html = page(build_table(read_study(study)))
    assert "What did it take in energy?" in html and "estimated at 30 W" in html
