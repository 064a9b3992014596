"""Each kind of unfairness is planted among fair rows, and found; fair rows are left in peace."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import spec_of, write_run

from levelfield.report import Row, StudyRows, build_table
from levelfield.report.audit import CHECKS, AuditRow, audit

RESULT: Mapping[str, Any] = {"params": 1000, "trainable_params": 1000, "epochs_done": 12, "samples_seen": 540_000}
FINETUNE = {"model__start_from": {"source": "timm:resnet50.tv_in1k", "digest": "cd" * 32}}


def row(name: str, changes: Mapping[str, Any] | None = None, **kind: Any) -> AuditRow:
    result = {**RESULT, **kind.pop("result", {})}
    results = tuple(result | {"seed": seed} for seed in kind.pop("seeds", (0, 1, 2)))
    return AuditRow(name, specs=(spec_of("resnet_mini", **(changes or {})),), results=results, **kind)


PLANTED: list[tuple[str, AuditRow, str]] = [
    ("budget", row("odd", {"budget": {"epochs": 6}}, result={"epochs_done": 6}), "odd: 6 epochs"),
    ("steps", row("odd", {"recipe__batch_size": 64}), "odd: 8,438 steps"),
    ("samples", row("odd", result={"samples_seen": 270_000}), "odd: 270,000 images"),
    ("data", row("odd", {"data__checksum": "cd" * 32}), "content of the data"),
    ("data", row("odd", {"data__train_limit": 5000}), "5,000 training images"),
    ("data", row("odd", {"data__image_size": 64}), "odd: 64 px"),
    ("validation_split", row("odd", {"data__validation": 0.0}), "nothing held out"),
    ("validation_split", row("odd", {"data__split_seed": 7}), "split 7"),
    ("selection", row("odd", {"recipe__selection": "best_validation"}), "best epoch on validation"),
    ("selection", row("odd", {"recipe__averaging": {"name": "ema"}}), "averaged weights"),
    ("stopping", row("odd", {"execution": {"stop_after_seconds": 60.0}}), "limit in seconds"),
    ("warmup", row("odd", {"recipe__schedule": {"name": "cosine", "warmup": {"epochs": 2}}}), "2 epochs of warm-up"),
    ("precision", row("odd", {"recipe__precision": "fp16"}), "odd: fp16"),
    ("untrained", row("odd", result={"trainable_params": 900}), "100 parameters of odd were never trained"),
    ("untrained", row("odd", {"recipe__freeze": {"patterns": ("stem.*",)}}), "stem.* frozen throughout"),
    ("cut_short", row("odd", result={"epochs_done": 7}), "7 of 12 epochs"),
    ("selected_on_test", row("odd", facts={"selected_on": "test"}), "selected on the test set"),
    (
        "selected_on_test",
        row("odd", {"recipe__selection": "best_validation", "data__validation": 0.0}),
        "selected on the test set",
    ),
    ("validation_transform", row("odd", facts={"validation_transform": "training"}), "training augmentation"),
    (
        "smoothing",
        row("odd", {"recipe__regularisation": {"label_smoothing": 0.1}}, result={"smoothing_applied": 0.0}),
        "declares label smoothing 0.1, but 0 was applied",
    ),
    ("leaks", row("odd", facts={"train_test_duplicates": 12}), "12 test images"),
    ("leaks", row("odd", {"data__name": "cub200", **FINETUNE}), "overlaps ImageNet"),
    ("pretraining", row("odd", FINETUNE), "odd: given weights"),
    (
        "mixed_science",
        AuditRow("odd", specs=(spec_of("resnet_mini"), spec_of("resnet_mini", recipe__batch_size=64))),
        "differ in more than the seed",
    ),
    (
        "mixed_science",
        AuditRow("odd", specs=(spec_of("resnet_mini"), spec_of("resnet_mini", seed=1, **FINETUNE))),
        "start from other weights",
    ),
]


@pytest.mark.parametrize(("check", "odd", "says"), PLANTED, ids=[f"{c}: {s[:20]}" for c, _, s in PLANTED])
def test_planted_unfairness_is_found(check: str, odd: AuditRow, says: str) -> None:
    found = [f for f in audit([row("a"), row("b"), odd, row("c")]).unfair if f.check == check]
    assert any(says in finding.text for finding in found), found
    assert all(finding.rows == ("odd",) for finding in found)


def test_each_seed_may_start_from_weights_of_its_own() -> None:
    specs = tuple(
        spec_of("resnet_mini", seed=seed, model__start_from={"source": f"seed{seed}", "digest": f"{seed:064d}"})
        for seed in range(3)
    )
    tuned = AuditRow("tuned", specs=specs)
    assert not [finding for finding in audit([tuned]).unfair if finding.check == "mixed_science"]


NOTED: list[tuple[str, AuditRow, str]] = [
    ("recipe", row("odd", {"recipe__optimizer": {"lr": 0.01}}), "Learning rate differs. odd: 0.01"),
    ("recipe", row("odd", facts={"setting_unknown": True}), "setting is unknown"),
    ("seeds", row("odd", seeds=(0,)), "one run"),
    ("data", row("odd", result={"data_official": False}), "not the official set"),
    ("environment", row("odd", result={"device": "cuda"}), "different devices"),
    (
        "smoothing",
        row(
            "odd",
            {
                "recipe__regularisation": {"label_smoothing": 0.1, "smoothing_with_mix": False},
                "recipe__mix": {"mixup_alpha": 0.8, "probability": 0.5},
            },
        ),
        "drops it from the 50% of batches",
    ),
    ("cut_short", row("odd", unfinished=("seed 2: failed: out of memory",)), "out of memory"),
]


@pytest.mark.parametrize(("check", "odd", "says"), NOTED, ids=[f"{c}: {s[:20]}" for c, _, s in NOTED])
def test_what_a_reader_must_know_is_noted(check: str, odd: AuditRow, says: str) -> None:
    others = [row(name, result={"device": "cpu"}) for name in "abc"]
    notes = [f.text for f in audit([*others, odd]).notes if f.check == check]
    assert any(says in note for note in notes), notes


def test_every_check_is_tried_by_a_planted_case() -> None:
    assert {check for check, _, _ in PLANTED + NOTED} == {check.key for check in CHECKS}


def test_fair_rows_pass_every_check() -> None:
    report = audit([row("a"), row("b"), row("c")])
    assert report.findings == ()
    assert len(report.passed) == len(CHECKS)


def test_rows_on_different_test_sets_are_not_held_against_each_other() -> None:
    long = row(
        "long", {"budget": {"epochs": 50}, "data__name": "cifar100"}, panel="cifar100", result={"epochs_done": 50}
    )
    assert not audit([row("a", panel="cifar10"), row("b", panel="cifar10"), long]).unfair


def test_a_data_set_s_own_note_is_passed_on() -> None:
    report = audit([row("a")], {"cifar10": ["3.3 % of its test images have near-duplicates in train"]})
    assert "cifar10: 3.3 %" in report.notes[0].text


def test_roadmap_1_was_pretrained_for_less() -> None:
    """The published settings alone, nothing run: 200 epochs against 300 and 20 of warm-up, and who builds on them."""
    pretrain, finetune = [], []
    for i in range(1, 6):
        warmup = {"name": "cosine", "warmup": {"epochs": 20.0 if i > 1 else 0.0, "on_top": True}}
        setting = spec_of(
            f"roadmap_{i}", data="imagenet1k", recipe__schedule=warmup, budget={"epochs": 300 if i > 1 else 200}
        )
        pretrain.append(Row(f"pretrain-roadmap_{i}", declared=(setting,)))
        start = {"model__start_from": {"source": f"row:pretrain-roadmap_{i}"}}
        finetune.append(Row(f"cub-roadmap_{i}", declared=(spec_of(f"roadmap_{i}", data="cub200", **start),)))
    found = build_table(StudyRows("roadmap", (*pretrain, *finetune))).audit.unfair
    budget = next(f for f in found if f.check == "budget")
    assert budget.rows == ("pretrain-roadmap_1",)
    assert "200 epochs" in budget.text and "300 epochs and 20 epochs of warm-up on top" in budget.text
    assert next(f for f in found if f.check == "pretraining").rows == ("cub-roadmap_1",)
    assert next(f for f in found if f.check == "warmup").rows == ("pretrain-roadmap_1",)


def test_the_audit_reads_run_folders(tmp_path: Path) -> None:
    rows = tuple(
        Row(name, runs=(write_run(tmp_path / name, spec_of(name, budget={"epochs": epochs}), images=50),))
        for name, epochs in (("a", 4), ("b", 4), ("c", 2))
    )
    found = {finding.check: finding.rows for finding in build_table(rows).audit.unfair}
    assert found["budget"] == found["samples"] == found["steps"] == ("c",)


@pytest.mark.parametrize("open_", ["auto", "bf16_if_native"])
def test_a_row_that_never_ran_has_no_precision_to_compare(open_: str) -> None:
    declared = AuditRow("later", specs=(spec_of("resnet_mini", recipe__precision=open_),), results=())
    assert [f for f in audit([row("a"), row("b"), declared]).unfair if f.check == "precision"] == []
