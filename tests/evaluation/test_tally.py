"""Stored probabilities counted without torch give what logits counted on a device give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from levelfield.evaluation import Scores, evaluate_probabilities, tally_probabilities
from levelfield.evaluation.counts import Counts, evaluate_logits


def drawn(n: int = 2003, classes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    labels = torch.randint(classes, (n,), generator=g)
    logits = torch.randn(n, classes, generator=g) * 2
    logits[torch.arange(n), labels] += 2.0
    return logits, labels


def check_same(one: Scores, two: Scores) -> None:
    assert (one.n, one.top1, one.top3, one.top5) == (two.n, two.top1, two.top3, two.top5)
    assert (one.f1_macro, one.f1_weighted, one.classes) == (two.f1_macro, two.f1_weighted, two.classes)
    np.testing.assert_array_equal(one.confusion, two.confusion)
    assert [b.count for b in one.calibration.bins] == [b.count for b in two.calibration.bins]
    for key in ("ece", "nll", "brier"):
        assert getattr(one.calibration, key) == pytest.approx(getattr(two.calibration, key), rel=1e-5)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_probabilities_count_as_their_logits(classes: int) -> None:
    logits, labels = drawn(classes=classes)
    p = logits.softmax(1).numpy()
    check_same(evaluate_probabilities(p, labels.numpy()), evaluate_logits(logits, labels))


def test_tallies_add_up() -> None:
    logits, labels = drawn()
    p, label = logits.softmax(1).numpy(), labels.numpy()
    parts = tally_probabilities(p[:700], label[:700]) + tally_probabilities(p[700:], label[700:])
    check_same(parts.scores(), evaluate_probabilities(p, label))
    check_same((Counts(10).update(logits[:9], labels[:9]).tally() + parts).scores(), (parts + Counts(10).update(
        logits[:9], labels[:9]).tally()).scores())  # fmt: skip


def test_ties_zeros_and_what_is_no_number() -> None:
    equal = np.full((4, 4), 0.25, np.float32)
    assert evaluate_probabilities(equal, np.arange(4)).top1 == 25.0
    sure = evaluate_probabilities(np.eye(4, dtype=np.float32)[[0, 0]], np.array([0, 1]))
    assert (sure.top1, sure.loss) == (50.0, pytest.approx(-np.log(np.finfo(np.float32).tiny) / 2))
    none = evaluate_probabilities(np.full((4, 4), np.nan, np.float32), np.zeros(4, np.int64))
    assert none.top1 == 0.0
