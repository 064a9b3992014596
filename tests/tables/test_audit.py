"""Each unfairness is planted in the folders of one row among fair ones, and found; fair rows are left in peace."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from planted import IMAGES, audited, edit, redraw, restate, rows_of, write

from levelfield.data.checks.dataset_check import check_data
from levelfield.runs import Predictions, RunFolder, content_digest, write_json, write_predictions
from levelfield.runs.compact import rounded
from levelfield.spec.science_revisions import REVISIONS
from levelfield.studies.results.merge import merge_folders
from levelfield.studies.results.study_json import as_json
from levelfield.studies.results.study_request import StudyRequest
from levelfield.tables import Published, Row, StudyRows, build_table, read_study
from levelfield.tables.audit import CHECKS
from levelfield.tables.audit.checks.leaked_test_images import _counted, keep_record, read_record
from synthetic_runs import profile_of, spec_of, write_run

TIMM = {"model__start_from": {"source": "timm:resnet50.tv_in1k", "digest": "cd" * 32}}
TIMM_22K = {"model__start_from": {"source": "timm:resnet50.fb_in22k_ft_in1k", "digest": "ef" * 32}}
RANDAUGMENT = {"recipe__augment": {"policy": {"name": "randaugment"}}}
PAD_CROP = {"recipe__augment": {"crop": {"name": "pad_crop"}}}
RESIZED = {"crop": {"name": "random_resized_crop"}}
HANDED_OVER = [{"at_epoch": 3, "optimizer": {"name": "sgd"}}]


def environment(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "environment.json", changes)


def packages(**changes: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "environment.json"
        found = json.loads(path.read_text())["packages"]
        edit(path, {"packages": {**found, **changes}})

    return change


def fewer_images(folder: Path) -> None:
    redraw(folder, IMAGES - 5)


def other_labels(folder: Path) -> None:
    found = RunFolder(folder).predictions()
    assert found is not None
    label = (found.label + 1) % 10
    write_predictions(folder / "predictions.parquet", Predictions(found.index, label, found.probabilities))
    restate(folder)


def better_than_its_predictions(folder: Path) -> None:
    result = json.loads((folder / "result.json").read_text())
    edit(folder / "result.json", {"top1": result["top1"] + 1.5})


PLANTED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    # what is planted: settings of all rows, of odd and its folders, where it is found, with which words
    "length": ({}, {"odd": {"budget": {"epochs": 6}}}, "unfair", "(budget.epochs). odd: 6; the other 3: 12"),
    "length by another unit": ({}, {"odd": {"budget": {"steps": 600}}}, "unfair", "odd: epochs none, steps 600"),
    "batch size": ({}, {"odd": {"recipe__batch_size": 64}}, "unfair", "The batch size differs"),
    "betas": ({}, {"odd": {"recipe__optimizer": {"betas": [0.9, 0.95]}}}, "unfair", "betas). odd: 0.9, 0.95"),
    "clipping": ({}, {"odd": {"recipe__regularisation": {"clip_norm": 1.0}}}, "unfair", "clip_norm). odd: 1;"),
    "dropout": ({}, {"odd": {"recipe__regularisation": {"dropout": 0.2}}}, "unfair", "dropout). odd: 0.2;"),
    "layer decay": ({}, {"odd": {"recipe__optimizer": {"layer_decay": 0.7}}}, "unfair", "odd: 0.7; the other 3: 1"),
    "final rate": (
        {}, {"odd": {"recipe__schedule": {"name": "cosine", "final_lr": 1e-5}}}, "unfair", "final_lr). odd: 1e-05;",
    ),
    "milestones": (
        {"recipe__schedule": {"name": "multistep"}},
        {"odd": {"recipe__schedule": {"name": "multistep", "milestones": [30, 60]}}},
        "unfair", "milestones). odd: 30, 60; the other 3: 30, 60, 90",
    ),
    "phases": ({}, {"odd": {"recipe__phases": HANDED_OVER}}, "unfair", "odd: at_epoch 3, optimizer (sgd)"),
    "decay of the average": (
        {"recipe__averaging": {"name": "ema"}},
        {"odd": {"recipe__averaging": {"name": "ema", "decay": 0.9999}}},
        "unfair", "decay). odd: 0.9999; the other 3: 0.999",
    ),
    "a rate that rounds to the same": (
        {"recipe__optimizer": {"lr": 0.001}}, {"odd": {"recipe__optimizer": {"lr": 0.0010000001}}}, "unfair",
        "0.0010000001",
    ),
    "TrivialAugment for RandAugment": (
        RANDAUGMENT,
        {"odd": {"recipe__augment": {"policy": {"name": "trivial_augment_wide"}}}},
        "unfair", "policy). odd: trivial_augment_wide; the other 3: randaugment",
    ),
    "a resized crop for a padded one": (
        PAD_CROP, {"odd": {"recipe__augment": RESIZED}}, "unfair",
        "crop). odd: random_resized_crop; the other 3: pad_crop",
    ),
    "crop ratio": (
        {"recipe__augment": RESIZED},
        {"odd": {"recipe__augment": {"crop": {"name": "random_resized_crop", "ratio": [0.5, 2.0]}}}},
        "unfair", "crop.ratio). odd: 0.5, 2;",
    ),
    "freezing": ({}, {"odd": {"recipe__freeze": {"patterns": ["stem.*"]}}}, "unfair", "stem.*; the other 3: none"),
    "precision": ({}, {"odd": {"recipe__precision": "bf16"}}, "unfair", "odd: bf16; the other 3: fp32"),
    "other data": ({}, {"odd": {"data__checksum": "cd" * 32}}, "unfair", "(data.checksum). odd: cdcdcdcdcd"),
    "fewer training images": ({}, {"odd": {"data__train_limit": 5000}}, "unfair", "odd: 5,000; the other 3: none"),
    "another size": ({}, {"odd": {"data__image_size": 64, "model__image_size": 64}}, "unfair", "image_size 64"),
    "another split": ({}, {"odd": {"data__split_seed": 7}}, "unfair", "odd: 7; the other 3: 0"),
    "no validation slice": ({}, {"odd": {"data__validation": 0.0}}, "unfair", "odd: 0; the other 3: 0.1"),
    "parts of a batch": ({}, {"odd": {"execution": {"micro_batch": 32}}}, "unfair", "micro_batch). odd: 32"),
    "compiled": ({}, {"odd": {"execution": {"compile": True}}}, "differs", "odd: yes; the other 3: no"),
    "trained weights": ({}, {"odd": TIMM}, "unfair", "odd: from timm:resnet50.tv_in1k; the other 3: from scratch"),
    "ImageNet-22k weights": (
        TIMM, {"odd": TIMM_22K}, "unfair", "odd: ImageNet-22k, then ImageNet-1k; the other 3: ImageNet-1k",
    ),
    "other weights for the same network": (
        TIMM, {"odd": {"model__start_from": {"source": "timm:resnet50.a1_in1k", "digest": "0f" * 32}}},
        "unfair", "The weights that the same network starts from differs. odd: timm:resnet50.a1_in1k",
    ),
    "unsaid weights": (
        TIMM, {"odd": {"model__start_from": {"source": "mine.pth", "digest": "0f" * 32}}},
        "unchecked", "What the weights of odd were trained on",
    ),
    "350 of 400 test images": (
        {}, {"change": fewer_images}, "unfair", "odd: 35 images (set 2); the other 3: 40 images",
    ),
    "a limit on the test images": ({}, {"odd": {"data__test_limit": 35}}, "unfair", "odd: cifar10, 35 test images"),
    "other labels": ({}, {"change": other_labels}, "unfair", "the same images with the same labels. odd"),
    "a result off its predictions": (
        {}, {"change": better_than_its_predictions}, "unfair",
        "The result of odd seed 0 is not that of its predictions: top-1",
    ),
    "no predictions": (
        {}, {"change": lambda folder: (folder / "predictions.parquet").unlink()}, "unchecked",
        "The scores of odd seed 0 and odd seed 1",
    ),
    "other torch": ({}, {"change": packages(torch="2.11.0")}, "differs", "(packages.torch). odd: 2.11.0; the other 3:"),
    "another processor": (
        {}, {"change": environment(processor="Xeon")}, "differs", "(processor). odd: Xeon; the other",
    ),
    "another commit": ({}, {"change": environment(git_commit="c0" * 20)}, "differs", "odd: c0c0c0c0c0; the other 3:"),
    "another machine of the same kind": (
        {}, {"change": environment(machine="0badcafe")}, "differs",
        "Times of training do not compare: they were measured on different machines. odd: machine 0badcafe",
    ),
    "begun on another machine": (
        {}, {"change": environment(earlier=[{"machine": "0badcafe"}])}, "differs",
        "different machines. odd: machine 0badcafe / ",
    ),
    "no environment": (
        {}, {"change": lambda folder: (folder / "environment.json").unlink()}, "unchecked", "versions odd ran",
    ),
    "resumed after divergence": (
        {}, {"resumed_from": [300], "failed_before": ["the loss is not finite at step 320"]}, "unfair",
        "odd seed 0 failed, went on from a checkpoint and is counted as if it had not: the loss is not finite",
    ),
    "resumed": ({}, {"resumed_from": [300]}, "differs", "Interrupted, then resumed: odd seed 0 and odd seed 1"),
    "resumed, why is not recorded": (
        {}, {"resumed_from": [300], "failed_before": None}, "unchecked",
        "Whether odd seed 0 and odd seed 1 failed before",
    ),
    "fewer steps than its equals": (
        {}, {"steps": 1000}, "unfair", "optimiser steps differs. odd: 1,000 optimiser steps",
    ),
    "fewer images than its equals": ({}, {"samples_seen": 270_000}, "unfair", "odd: 270,000 training images"),
    "cut short": ({}, {"epochs_done": 7}, "unfair", "odd seed 0 stopped early: 7 of 12 epochs"),
    "parameters never trained": (
        {}, {"trainable_params": 900_000}, "unfair", "100,000 parameters of odd were never trained",
    ),
    "selection that did not happen": (
        {"recipe__selection": "best_validation"}, {}, "unfair", "declared but not chosen: a seed 0",
    ),
    "not the official data": ({}, {"data_official": False}, "differs", "cifar10: not the official content"),
    "own model": (
        {}, {"change": lambda folder: edit(folder / "run.json", {"reproducible": "not reproducible by name"})},
        "differs", "odd cannot be trained again by others",
    ),
    "a note on the data": (
        {}, {"change": lambda folder: edit(folder / "run.json", {"data": {"notes": ["train lacks 3 images"]}})},
        "differs", "cifar10: train lacks 3 images.",
    ),
    "smoothing dropped": (
        {}, {"odd": {
            "recipe__regularisation": {"label_smoothing": 0.1, "smoothing_with_mix": False},
            "recipe__mix": {"mixup_alpha": 0.8},
        }}, "differs", "Label smoothing is dropped from mixed batches, as the recipe declares, in odd",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_in_the_folders_of_a_row_is_found(name: str, tmp_path: Path) -> None:
    base, odd, severity, says = PLANTED[name]
    rows = rows_of(tmp_path, base=base, **odd)
    report = audited(rows)
    found = [finding for finding in report.of(severity) if says in finding.text]
    assert found, report.findings
    if severity in ("unfair", "differs") and base.get("recipe__selection") is None:
        assert all("odd" in finding.rows for finding in found)
        others = [finding for finding in report.unfair if finding not in found and finding.check != "scores"]
        assert all(finding.rows == ("odd",) for finding in others), others


def test_fair_rows_are_left_in_peace_and_what_was_looked_at_is_said(tmp_path: Path) -> None:
    report = audited(rows_of(tmp_path))
    assert {finding.severity for finding in report.findings} == {"unchecked", "passed"}
    unchecked, costs, order, spread = report.of("unchecked")
    assert spread.text.endswith("fewer than two rows have three runs.")
    assert order.text == "Whether runs of neighbouring seeds resemble each other: no row has three runs."
    assert unchecked.text.startswith("Whether test images of cifar10 stand in its training set")
    assert (
        costs.text == "Parameters and multiply-accumulates: held against the other seeds of a row, not counted again."
    )
    passed = {finding.check for finding in report.of("passed")}
    assert passed == {
        "failures", "settings", "one_setting", "starts", "test_images", "scores", "independent", "length", "untrained",
        "resumed", "seeds", "environment", "machines", "data", "mends", "chosen_seeds",
    }  # fmt: skip
    assert report.verdict == "No unfairness found in what was checked; 4 things not checked."


def test_nothing_that_was_not_looked_at_is_passed(tmp_path: Path) -> None:
    declared = Row("later", declared=(spec_of("resnet_mini", budget={"epochs": 1}),))
    assert audited([declared]).findings == ()
    assert audited([declared]).verdict == "Nothing has been measured, so nothing was checked."
    predictions = rows_of(tmp_path)[0].runs[0].path / "predictions.parquet"
    foreign = audited([Row("theirs", predictions=(predictions,))])
    assert {finding.check for finding in foreign.of("passed")} == set()
    rows = []
    for name in "ab":
        run = write(tmp_path / name, spec_of("resnet_mini"))
        for file in ("environment.json", "predictions.parquet"):
            (run.path / file).unlink()
        edit(run.path / "result.json", dict.fromkeys(("trainable_params", "data_official", "epochs_done")))
        rows.append(Row(name, runs=(run,)))
    passed = {finding.check for finding in audited(rows).of("passed")}
    assert not passed & {
        "environment",
        "machines",
        "scores",
        "test_images",
        "independent",
        "untrained",
        "data",
        "length",
    }


def test_rows_that_did_not_run_cause_no_finding(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    before = audited(rows).findings
    odd = {"budget": {"epochs": 99}, "recipe__precision": "auto", "recipe__optimizer": {"lr": 0.5}}
    failures = {0: "no cifar10 in the data folder 'data'"}
    rows.append(Row("later", declared=(spec_of("vit_mini", **odd),), failures=failures))
    assert audited(rows).findings == before


def test_two_of_three_seeds_diverged(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, seeds=(0, 1, 2))
    for seed in (0, 2):
        path = rows[-1].runs[seed].path / "result.json"
        edit(path, {"status": "failed: the loss is not finite at step 80", "top1": None})
    (found,) = [finding for finding in audited(rows).unfair if finding.check == "failures"]
    assert found.rows == ("odd",)
    assert found.text == (
        "2 of 3 runs of odd failed: the loss is not finite at step 80 (2 runs). Its score is that of the 1 run that "
        "came through, which is no fair comparison."
    )
    assert not [finding for finding in audited(rows).of("passed") if finding.check == "failures"]


def test_divergence_counts_where_only_the_study_knows_of_it(tmp_path: Path) -> None:
    """A repository keeps no folders of failed runs; study.json keeps why."""
    a, b, c, odd = rows_of(tmp_path)
    odd = Row("odd", runs=odd.runs[:1], failures={1: "the loss is not finite at step 80\nlower the rate"})
    assert "1 of 2 runs of odd failed: the loss is not finite" in audited([a, b, c, odd]).unfair[0].text
    odd = Row("odd", runs=odd.runs, failures={1: "no such data"})
    report = audited([a, b, c, odd])
    assert not report.unfair and "odd lacks runs: seed 1: could not begin" in report.of("differs")[0].text


def test_a_row_whose_runs_all_diverged_is_an_outcome(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    for run in rows[-1].runs:
        edit(run.path / "result.json", {"status": "failed: the loss is not finite at step 80", "top1": None})
    assert "odd has no result: all its 2 runs failed" in audited(rows).of("differs")[0].text


def test_a_copied_seed_is_no_run_of_its_own(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    first, second = (run.path for run in rows[-1].runs)
    shutil.copy(first / "predictions.parquet", second / "predictions.parquet")
    restate(second)
    (found,) = [finding for finding in audited(rows).unfair if finding.check == "independent"]
    assert "odd seed 0 and odd seed 1 have equal predictions" in found.text and found.rows == ("odd",)


def test_copied_weights_are_found_under_other_predictions(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    rng = np.random.default_rng(0)
    for run in rows[-1].runs:
        run.weights.write_bytes(rng.bytes(200_000))
    assert not audited(rows).unfair
    shutil.copy(rows[-1].runs[0].weights, rows[-1].runs[1].weights)
    (found,) = audited(rows).unfair
    assert "odd seed 0 and odd seed 1 have equal weights" in found.text


def test_copied_weights_are_found_in_compact_folders(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    for number, run in enumerate(rows[-1].runs):
        edit(run.path / "result.json", {"weights_digest": f"{number:064x}"})
    assert not audited(rows).unfair
    edit(rows[-1].runs[1].path / "result.json", {"weights_digest": f"{0:064x}"})
    (found,) = audited(rows).unfair
    assert "odd seed 0 and odd seed 1 have equal weights" in found.text


def weights_of(content: bytes) -> bytes:
    """A .safetensors file of one tensor of bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}).encode()
    return len(header).to_bytes(8, "little") + header + content


def test_weights_that_were_replaced_after_the_test_are_found(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    run = rows[-1].runs[0]
    run.weights.write_bytes(weights_of(b"as trained"))
    edit(run.path / "result.json", {"weights_digest": content_digest(run.weights)})
    assert not audited(rows).unfair
    for other in (weights_of(b"elsewhere."), b"cut off"):
        run.weights.write_bytes(other)
        (found,) = audited(rows).unfair
        assert (found.check, found.rows) == ("scores", ("odd",)) and "other weights" in found.text


def test_rows_of_equal_predictions_are_mentioned_unless_they_are_the_same_run(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, odd={"recipe__optimizer": {"lr": 0.01}})
    assert not [f for f in audited([*rows, Row("again", runs=rows[0].runs)]).findings if "equal predictions" in f.text]
    for mine, theirs in zip(rows[-1].runs, rows[0].runs, strict=True):
        shutil.copy(theirs.path / "predictions.parquet", mine.path / "predictions.parquet")
        restate(mine.path)
    found = [f for f in audited(rows).of("differs") if f.check == "independent"]
    assert len(found) == 1 and "a and odd have equal predictions, seed by seed" in found[0].text


def test_cost_figures_of_different_machines(tmp_path: Path) -> None:
    rows = []
    for name in ("vit_mini", "resnet_mini", "outgrid_nano"):
        rows.append(Row(name, runs=(write(tmp_path / name, spec_of(name)),)))

    def found(*machines: str) -> list[tuple[str, str]]:
        profiles = [profile_of(row.name, 1000, 100) for row in rows]
        for profile, machine in zip(profiles, machines, strict=True):
            profile["environment"] = {**profile["environment"], "machine": machine}
        write_json(tmp_path / "costs.json", profiles)
        report = audited(rows, path=tmp_path)
        return [(f.severity, f.text) for f in report.findings if f.check == "machines" and "ost figures" in f.text]

    assert found("a", "a", "a") == [("passed", "cost figures (images/s, milliseconds, memory) come from one machine")]
    ((severity, text),) = found("a", "a", "b")
    assert severity == "differs" and "do not compare" in text
    assert "outgrid_nano: machine b; the other 2: machine a" in text


def test_runs_made_before_a_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(tmp_path)
    monkeypatch.setitem(REVISIONS, "a-mend-of-all", lambda spec: True)
    said = [f.text for f in audited(rows).of("differs") if f.check == "mends"]
    assert said == ["Made before 1 mend that would move the numbers of a, b, c and odd: a-mend-of-all."]
    for run in rows[-1].runs:
        edit(run.path / "run.json", {"revisions": ["a-mend-of-all"], "identity": run.spec().identity()})
    (found,) = audited(rows).unfair
    assert "mends of the program the runs were made under differs. odd: under all that bear on them" in found.text
    for run in rows[-1].runs:
        edit(run.path / "run.json", {"identity": "0" * 64})
    assert "odd ran another version of training" in audited(rows).unfair[0].text


def test_what_is_wrong_with_a_network_as_published_is_said(tmp_path: Path) -> None:
    run = write(tmp_path / "swin", spec_of("swin_tiny_p2w4"))
    (found,) = [f for f in audited([Row("swin", runs=(run,))]).of("differs") if f.check == "networks"]
    assert found.text.startswith("swin: mis-masked as published") and found.rows == ("swin",)


def test_processes_count_where_batchnorm_is_local(tmp_path: Path) -> None:
    odd = {"execution": {"processes": 2}}
    assert audited(rows_of(tmp_path / "global", odd=odd)).unfair == []
    local = rows_of(tmp_path / "local", odd=odd, base={"recipe__batchnorm": "local"})
    assert "(execution.processes). odd: 2" in audited(local).unfair[0].text


def test_an_image_that_is_counted_twice(tmp_path: Path) -> None:
    def twice(folder: Path) -> None:
        found = RunFolder(folder).predictions()
        assert found is not None
        again = np.concatenate([np.arange(IMAGES), [0, 0]])
        columns = (found.index[again], found.label[again], found.probabilities[again])
        write_predictions(folder / "predictions.parquet", Predictions(*columns))
        restate(folder)

    texts = [finding.text for finding in audited(rows_of(tmp_path, change=twice)).unfair]
    assert "odd seed 0 counts 2 test images more than once." in texts


def test_what_a_study_varies_is_declared_and_stated(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, odd={**TIMM, "recipe__optimizer": {"lr": 0.01}})
    report = audited(rows, varies=("recipe.optimizer", "model.start_from"))
    assert report.unfair == []
    texts = [finding.text for finding in report.of("declared")]
    assert any("odd: from timm:resnet50.tv_in1k; the other 3: from scratch" in text for text in texts)
    assert any(text.endswith("as the study's question declares: recipe.optimizer.") for text in texts)
    assert len(audited(rows, varies=("recipe.optimizer",)).unfair) == 1
    assert len(audited(rows, varies=("recipe.schedule",)).unfair) == 2


def test_a_network_that_is_built_for_its_images_follows_their_declared_size(tmp_path: Path) -> None:
    """Built for another size than its images have, it does not: that is to be declared by itself."""
    for name, size, unfair in (("as large", 64, 0), ("smaller", 48, 1)):
        rows = rows_of(tmp_path / name, odd={"data__image_size": 64, "model__image_size": size})
        assert len(audited(rows, varies=("data.image_size",)).unfair) == unfair, name
        assert audited(rows, varies=("data.image_size", "model.image_size")).unfair == []


def test_where_the_weights_of_rows_come_from_is_read_in_their_runs(tmp_path: Path) -> None:
    """Two rows fine-tune weights of 12 epochs, the third those of 6: found through the runs that made the weights."""
    study = tmp_path / "study"
    tuned = []
    for name, epochs in (("a", 12), ("b", 12), ("c", 6)):
        before = study / f"pretrain-{name}" / "seed0-00000000"
        write(before, spec_of("resnet_mini", data="imagenet1k", budget={"epochs": epochs}), epochs_done=epochs)
        start = {"source": f"/elsewhere/pretrain-{name}/seed0-00000000", "digest": name * 64}
        run = write(study / name, spec_of(f"roadmap_{name}", data="cub200", model__start_from=start))
        tuned.append(Row(name, runs=(run,)))
    report = audited(tuned, varies=("model.name",), path=study)
    (found,) = report.unfair
    assert found.rows == ("c",)
    assert "In the training of the weights that rows start from, the declared length of training differs" in found.text
    assert "c: 6; the other 2: 12" in found.text
    assert [f.rows for f in report.findings if f.check == "overlap"] == [("a", "b", "c")]
    assert audited(tuned, varies=("model.name", "pretraining.budget"), path=study).unfair == []
    for name in "ab":
        edit(study / f"pretrain-{name}" / "seed0-00000000" / "result.json", {"weights_digest": name * 64})
    assert audited(tuned, varies=("model.name", "pretraining.budget"), path=study).unfair == []
    edit(study / "pretrain-b" / "seed0-00000000" / "result.json", {"weights_digest": "c" * 64})
    report = audited(tuned, varies=("model.name", "pretraining.budget"), path=study)
    assert any(f.check == "pretraining" and "their source does not say" in f.text for f in report.of("unchecked"))


def test_each_seed_may_start_from_weights_of_its_own_but_not_some_of_them(tmp_path: Path) -> None:
    def run(seed: int, digest: str | None) -> RunFolder:
        start = {} if digest is None else {"model__start_from": {"source": f"w{seed}", "digest": digest * 64}}
        return write(tmp_path / f"{seed}{digest}", spec_of("resnet_mini", seed, **start))

    def found(*digests: str | None) -> list[str]:
        row = Row("tuned", runs=tuple(run(seed, digest) for seed, digest in enumerate(digests)))
        return [finding.text for finding in audited([row]).unfair]

    assert found("1", "2", "3") == found("1", "1", "1") == []
    assert "Some runs of tuned start from trained weights, some not." in found("1", None)
    assert "neither from one set of weights nor each from its own" in found("1", "1", "2")[0]


def test_each_seed_may_have_a_teacher_of_its_own_but_not_some_of_them(tmp_path: Path) -> None:
    def run(seed: int, digest: str) -> RunFolder:
        teacher = {"teacher": f"t{digest}", "teacher_identity": digest * 64, "teacher_digest": digest * 64}
        return write(tmp_path / f"{seed}{digest}", spec_of("resnet_mini", seed, recipe__distil=teacher))

    def found(*digests: str) -> list[str]:
        row = Row("taught", runs=tuple(run(seed, digest) for seed, digest in enumerate(digests)))
        report = audited([row])
        return [each.text for each in report.findings if each.check == "teachers" and each.severity != "passed"]

    assert found("1", "2", "3") == []
    assert found("1", "1", "1") == [
        "All runs of taught have one teacher: their spread over seeds leaves out that of teachers."
    ]
    assert found("1", "1", "2") == ["The runs of taught have neither one teacher nor each its own."]


def test_a_teacher_that_saw_other_images(tmp_path: Path) -> None:
    big = write(tmp_path / "study/big/seed0-00000000", spec_of("resnet_mini", data__validation=0.0))
    teacher = {"teacher": "/away/big/seed0-00000000", "teacher_identity": big.identity, "teacher_digest": "b" * 64}
    student = write(tmp_path / "study/small/seed0-1", spec_of("vit_mini", data__validation=0.1, recipe__distil=teacher))
    report = audited([Row("small", runs=(student,))], path=tmp_path / "study")
    (found,) = [one for one in report.findings if one.check == "taught_on"]
    assert found.severity == "differs"
    assert found.text == (
        "The teacher of small was trained on other images than small itself (data.validation differ); it may have seen "
        "images that are held out for validation here."
    )


def test_another_run_in_the_place_of_a_teacher_is_not_taken_for_it(tmp_path: Path) -> None:
    write(tmp_path / "study/big/seed0-00000000", spec_of("resnet_mini", data__validation=0.0))
    teacher = {"teacher": "/away/big/seed0-00000000", "teacher_identity": "a" * 64, "teacher_digest": "b" * 64}
    student = write(tmp_path / "study/small/seed0-1", spec_of("vit_mini", data__validation=0.1, recipe__distil=teacher))
    report = audited([Row("small", runs=(student,))], path=tmp_path / "study")
    (found,) = [one for one in report.findings if one.check == "taught_on"]
    assert found.severity == "unchecked" and "its run is not at hand" in found.text


def test_runs_of_one_row_that_differ_in_more_than_the_seed(tmp_path: Path) -> None:
    runs = [
        write(tmp_path / "0", spec_of("resnet_mini")),
        write(tmp_path / "1", spec_of("resnet_mini", 1, recipe__batch_size=64)),
    ]
    (found,) = audited([Row("mixed", runs=tuple(runs))]).unfair
    assert "they are not one row. recipe.batch_size: seed 0: 256; seed 1: 64" in found.text


def test_rows_on_different_test_sets_are_not_held_against_each_other(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    long = spec_of("resnet_mini", data="cifar100", budget={"epochs": 50}, data__checksum="cd" * 32)
    rows.append(Row("long", runs=(write(tmp_path / "long", long, epochs_done=50),)))
    report = audited(rows)
    assert report.unfair == []
    assert any(
        "different data; they are compared only within one set. long: cifar100" in f.text for f in report.findings
    )
    assert any(f.severity == "declared" for f in audited(rows, varies=("data.name",)).findings)


def sweep_point(study: Path, row: str, lr: float, epochs: float = 3) -> None:
    spec = spec_of("resnet_mini", 1000, recipe__optimizer={"lr": lr}, budget={"epochs": epochs})
    write(study / "sweep" / f"{row}-lr{lr:g}-wd0" / "seed1000-00000000", spec, epochs_done=epochs)


def test_a_search_is_said_only_where_one_was_made_alike(tmp_path: Path) -> None:
    facts = {"setting_unknown": True}

    def found(study: Path) -> list[tuple[str, str]]:
        rows = [Row(r.name, runs=r.runs, facts=facts if r.name in "ab" else {}) for r in rows_of(study)]
        return [(f.severity, f.text) for f in audited(rows, path=study).findings if f.check == "search"]

    ((severity, text),) = found(tmp_path / "none")
    assert severity == "differs" and "was not searched for: a and b use the recipe's own" in text
    for row in "ab":
        for lr in (0.0005, 0.001):
            sweep_point(tmp_path / "equal", row, lr)
    edit_best(tmp_path / "equal", "lr0.001")
    ((severity, text),) = found(tmp_path / "equal")
    assert severity == "passed" and "2 points of 3 epochs for each of a and b" in text
    shutil.copytree(tmp_path / "equal" / "sweep", tmp_path / "unused" / "sweep")
    edit_best(tmp_path / "unused", "lr0.0005")
    assert "best learning rate and weight decay are not those of a and b" in dict(found(tmp_path / "unused"))["unfair"]
    shutil.copytree(tmp_path / "equal" / "sweep", tmp_path / "half" / "sweep")
    shutil.rmtree(tmp_path / "half" / "sweep" / "b-lr0.0005-wd0")
    assert "was not searched for: b use" in dict(found(tmp_path / "half"))["unfair"]
    shutil.copytree(tmp_path / "equal" / "sweep", tmp_path / "more" / "sweep")
    sweep_point(tmp_path / "more", "b", 0.002)
    text = dict(found(tmp_path / "more"))["unfair"]
    assert "The budget of the search for unknown settings differs. a: 2 points of 3 epochs; b: 3 points" in text


def edit_best(study: Path, best: str) -> None:
    for path in (study / "sweep").glob("*/*"):
        line = {"kind": "epoch", "val_top1": 90.0 if f"{best}-" in path.parent.name else 80.0}
        (path / "metrics.jsonl").write_text(json.dumps(line) + "\n")


def test_a_study_on_disk_is_audited_with_what_it_declares(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, odd={"recipe__optimizer": {"lr": 0.01}})
    described: Mapping[str, Any] = {
        "name": "planted", "rows": [
            {"name": row.name, "runs": [str(run.path) for run in row.runs]} for row in rows
        ],
    }  # fmt: skip
    write_json(tmp_path / "study.json", described)
    assert len(build_table(read_study(tmp_path)).audit.unfair) == 1
    write_json(tmp_path / "study.json", {**described, "varies": ["recipe.optimizer.lr"]})
    assert build_table(read_study(tmp_path)).audit.unfair == []


def test_every_check_is_tried(tmp_path: Path) -> None:
    """Each check has words for such folders: none is wired to nothing."""
    heard: set[str] = set()
    for name in ("ImageNet-22k weights", "selection that did not happen", "smoothing dropped"):
        base, odd, _, _ = PLANTED[name]
        heard |= {finding.check for finding in audited(rows_of(tmp_path / name, base=base, **odd)).findings}
    assert set(CHECKS) - heard == {
        "search",
        "tuning",
        "overlap",
        "networks",
        "foreign",
        "teachers",
        "taught_on",
    }  # their own tests are above


@pytest.fixture
def leaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A data set on disk whose training images hold 150 of its 200 test images: its name and checksum."""
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    images = np.random.default_rng(0).integers(0, 256, (350, 8, 8, 3), np.uint8)
    for split, part in (("train", images[:300]), ("test", images[150:])):
        for number, image in enumerate(part):
            path = tmp_path / "own" / split / f"class{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    name = f"folder:{tmp_path / 'own'}"
    return name, check_data(name).checksum


def leaky_rows(folder: Path, name: str, checksum: str) -> list[Row]:
    specs = {row: spec_of("resnet_mini", data=name, data__checksum=checksum) for row in "ab"}
    return [Row(row, runs=(write(folder / row, spec),)) for row, spec in specs.items()]


def test_test_images_in_train_are_found_in_the_data_and_kept_for_where_it_is_not(
    leaky: tuple[str, str], tmp_path: Path
) -> None:
    name, checksum = leaky
    rows = leaky_rows(tmp_path / "study", name, checksum)
    (found,) = audited(rows).unfair
    assert f"150 of the 200 test images of {name} also stand in its training set" in found.text
    assert found.rows == ("a", "b")
    keep_record(tmp_path / "study", (run.spec() for row in rows for run in row.runs))
    shutil.rmtree(tmp_path / "own")
    _counted.cache_clear()
    assert audited(rows).unfair == [] and "is not at hand" in str(audited(rows).of("unchecked"))
    assert audited(rows, path=tmp_path / "study").unfair == [found]
    one = {checksum: {"data": name, "test_images": 200, "test_in_train": 1}}
    write_json(tmp_path / "study" / "duplicates.json", one)
    (found,) = audited(rows, path=tmp_path / "study").unfair
    assert f"1 of the 200 test images of {name} also stands in its training set" in found.text
    assert f"(`levelfield data check {name}` names it)" in found.text


def test_other_data_of_the_same_name_says_nothing_of_these_runs(leaky: tuple[str, str], tmp_path: Path) -> None:
    report = audited(leaky_rows(tmp_path / "study", leaky[0], "cd" * 32))
    assert report.unfair == [] and "is not at hand" in str(report.of("unchecked"))


def test_what_was_looked_up_of_the_data_comes_along_in_a_merge(leaky: tuple[str, str], tmp_path: Path) -> None:
    rows = leaky_rows(tmp_path / "one", *leaky)
    study = StudyRows("one", tuple(rows), path=tmp_path / "one")
    write_json(tmp_path / "one" / "study.json", as_json(study, StudyRequest("one", "one"), tmp_path / "one"))
    keep_record(tmp_path / "one", (run.spec() for row in rows for run in row.runs))
    merge_folders([tmp_path / "one"], tmp_path / "both", compact=True)
    assert read_record(tmp_path / "both") == read_record(tmp_path / "one") != {}
    assert build_table(read_study(tmp_path / "both")).audit.unfair[0].check == "leaks"


def test_a_published_value_is_no_run(tmp_path: Path) -> None:
    rows = [*rows_of(tmp_path), Row("paper", published=Published({"top1": 99.0}))]
    assert "paper" not in {name for finding in audited(rows).findings for name in finding.rows}
    assert isinstance(build_table(StudyRows("planted", tuple(rows))).audit.verdict, str)


def test_what_is_not_known_of_somebody_elses_predictions_is_not_passed(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    theirs = [write(tmp_path / f"theirs{seed}", spec_of("vit_mini", seed)) for seed in (0, 1)]
    files = tuple(run.path / "predictions.parquet" for run in theirs)
    report = audited([*rows, Row("theirs", predictions=files)])
    (found,) = [finding for finding in report.of("unchecked") if finding.check == "foreign"]
    assert found.rows == ("theirs",) and found.text == (
        "The setting, start, training data, length, environment and seeds of theirs: it was not trained here."
    )
    passed = [finding.text for finding in report.of("passed") if "every row" in finding.text]
    assert {f.check for f in report.of("passed")} >= {"settings", "starts", "environment", "seeds", "untrained"}
    assert len(passed) == 5 and all("every row that was trained here" in text for text in passed), passed


def test_a_seed_that_was_asked_for_and_is_in_no_row_is_said(tmp_path: Path) -> None:
    def said(planned: dict[str, tuple[int, ...]]) -> list[str]:
        rows = [replace(row, planned=planned.get(row.name, (0, 1))) for row in rows_of(tmp_path)]
        return [f.text for f in audited(rows).of("differs") if f.check == "failures"]

    assert said({}) == []
    assert said(dict.fromkeys(("a", "b", "c", "odd"), (0, 1, 2))) == ["Asked for and not there: seed 2 of every row."]
    assert said({"odd": (0, 1, 2, 3)}) == ["Asked for and not there: seeds 2 and 3 of odd."]


def test_two_finished_runs_of_one_seed_with_other_results_are_said(tmp_path: Path) -> None:
    a, b, c, odd = rows_of(tmp_path)
    shutil.copytree(odd.runs[0].path, tmp_path / "copy")
    again = Row("odd", runs=(*odd.runs, RunFolder(tmp_path / "copy")))
    edit(tmp_path / "copy" / "result.json", {"train_seconds": 1.0})
    assert audited([a, b, c, again]).unfair == []
    edit(odd.runs[0].path / "result.json", {"top1": 99.33184855233853})
    for other, said in ((98.0, "99.33 in one, 98 in the other"), (99.33184, "99.331849 in one, 99.33184 in the other")):
        edit(tmp_path / "copy" / "result.json", {"top1": other})
        (found,) = [each for each in audited([a, b, c, again]).unfair if "contradict" in each.text]
        assert found.rows == ("odd",) and f"and the first counts: seed 0: top1 {said}" in found.text


def test_what_nobody_declares_varies_by_default(tmp_path: Path) -> None:
    rows = [*rows_of(tmp_path), Row("vit", runs=(write(tmp_path / "vit", spec_of("vit_mini")),))]
    texts = [f.text for f in build_table(StudyRows("planted", tuple(rows))).audit.of("declared")]
    assert texts == ["Varied by default, as the study declares nothing: model.name."]
    odd = rows_of(tmp_path / "options", odd={"model__options": {"width": 24}})
    assert "(model.options.width)" in str(build_table(StudyRows("planted", tuple(odd))).audit.unfair)


STATED = ("top1", "top3", "top5", "loss", "f1_macro", "f1_weighted", "ece", "brier", "classes")


@pytest.mark.parametrize("compact", [False, True])
def test_every_stated_figure_is_held_against_the_predictions_or_said_not_to_be(compact: bool, tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    path = rows[-1].runs[0].path
    if compact:
        for run in rows[-1].runs:
            found = run.predictions()
            assert found is not None
            write_predictions(run.path / "predictions.parquet", rounded(found))
    report = audited(rows)
    assert report.unfair == []
    (passed,) = [f.text for f in report.of("passed") if f.check == "scores"]
    named = "top1, top3, top5, loss, f1_macro, f1_weighted, " + ("" if compact else "ece, ") + "brier and classes"
    rounded_off = "; loss and brier of 2 only within what rounded probabilities allow" if compact else ""
    assert passed == f"{named} of 8 runs follow from their predictions{rounded_off}"
    assert compact == any(f.text.startswith("Whether ece of 8 runs") for f in report.of("unchecked"))
    fair = json.loads((path / "result.json").read_text())
    classes = [{**line, "recall": line["recall"] / 2} for line in fair["classes"]]
    for key in STATED:
        if compact and key == "ece":
            continue
        edit(
            path / "result.json",
            {**fair, key: classes if key == "classes" else fair[key] + (6 if key == "ece" else -0.1)},
        )
        found_ = [f.text for f in audited(rows).unfair if f.check == "scores"]
        assert len(found_) == 1 and (key.replace("top", "top-") in found_[0]), (key, found_)


@pytest.mark.parametrize("key", ["params", "param_mib", "macs", "flops", "trainable_params"])
def test_stated_costs_that_contradict_each_other_are_found(key: str, tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    for run in rows[-1].runs[: 1 if key == "trainable_params" else 2]:
        edit(run.path / "result.json", {key: 1000})
    found = [f for f in audited(rows).unfair if f.check == "scores"]
    assert found and all(f.rows == ("odd",) for f in found)


@pytest.mark.parametrize(("sd", "severity"), [(3.0, "differs"), (0.3, "passed")])
def test_a_row_that_varies_far_more_than_the_others_is_named(tmp_path: Path, sd: float, severity: str) -> None:
    rng = np.random.default_rng(5)
    rows = []
    for name, width in (("calm", 0.3), ("even", 0.3), ("wild", sd)):
        runs = []
        for seed in range(8):
            run = write_run(tmp_path / name / f"seed{seed}", spec_of("resnet_mini", seed=seed), images=50)
            run_result = json.loads((run.path / "result.json").read_text())
            run_result["top1"] = 80 + width * float(rng.standard_normal())
            (run.path / "result.json").write_text(json.dumps(run_result))
            runs.append(RunFolder(run.path))
        rows.append(Row(name, runs=tuple(runs)))
    found = [finding for finding in audited(rows).findings if finding.check == "spread"]
    assert [finding.severity for finding in found] == [severity]
    assert severity == "passed" or found[0].rows == ("wild",)
