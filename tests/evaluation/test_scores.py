"""Scores against scikit-learn and against the formulas written out, whatever the batches and ranks."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support, top_k_accuracy_score

from levelfield.evaluation import evaluate_probabilities
from levelfield.evaluation.counts import Counts, evaluate_logits


def drawn(n: int = 403, classes: int = 10, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=g)
    logits = torch.randn(n, classes, generator=g) * 2
    logits[torch.arange(n), labels] += 2.0
    return logits, labels


def test_agrees_with_scikit_learn() -> None:
    logits, labels = drawn()
    p = logits.double().softmax(1).numpy()
    y, predicted = labels.numpy(), logits.argmax(1).numpy()
    scores = evaluate_logits(logits, labels)
    for k in (1, 3, 5):
        assert getattr(scores, f"top{k}") == pytest.approx(100 * top_k_accuracy_score(y, p, k=k))
    assert scores.loss == pytest.approx(log_loss(y, p), rel=1e-6)
    np.testing.assert_array_equal(scores.confusion, confusion_matrix(y, predicted))
    each = precision_recall_fscore_support(y, predicted, zero_division=0)
    for column, name in enumerate(("precision", "recall", "f1", "support")):
        np.testing.assert_allclose([getattr(c, name) for c in scores.classes], each[column])
    for average in ("macro", "weighted"):
        expected = precision_recall_fscore_support(y, predicted, average=average, zero_division=0)[:3]
        got = getattr(scores, average)
        assert (got.precision, got.recall, got.f1) == pytest.approx(expected)


def test_calibration_is_the_formula() -> None:
    logits, labels = drawn(1000)
    p = logits.double().softmax(1).numpy()
    y = labels.numpy()
    confidence, right = p.max(1), p.argmax(1) == y
    ece = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            ece += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    calibration = evaluate_logits(logits, labels).calibration
    assert calibration.ece == pytest.approx(100 * ece, rel=1e-4)
    assert calibration.brier == pytest.approx(((p - np.eye(10)[y]) ** 2).sum(1).mean(), rel=1e-5)
    assert sum(b.count for b in calibration.bins) == 1000


@pytest.mark.parametrize("batch", [1, 7, 64, 403])
def test_batches_do_not_matter(batch: int) -> None:
    logits, labels = drawn()
    counts = Counts(10)
    for x, y in zip(logits.split(batch), labels.split(batch), strict=True):
        counts.update(x, y)
    whole, parts = evaluate_logits(logits, labels), counts.scores()
    assert (parts.top1, parts.top3, parts.top5, parts.f1_macro) == (whole.top1, whole.top3, whole.top5, whole.f1_macro)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-7)
    assert parts.calibration.ece == pytest.approx(whole.calibration.ece, rel=1e-6)


def test_ranks_add_up_by_sum_or_by_one_all_reduce() -> None:
    logits, labels = drawn()
    shards = [Counts(10).update(logits[r::3], labels[r::3]) for r in range(3)]
    whole = Counts(10).update(logits, labels)
    reduced = Counts.unpack(sum((s.pack() for s in shards[1:]), shards[0].pack()), 10)
    for total in (shards[0] + shards[1] + shards[2], reduced):
        assert total.scores().n == 403
        assert torch.equal(total.confusion, whole.confusion)
        assert torch.equal(total.correct, whole.correct)
        assert total.scores().loss == pytest.approx(whole.scores().loss, rel=1e-7)


@pytest.mark.parametrize(
    ("classes", "top3", "top5"), [(2, False, False), (3, False, False), (5, True, False), (6, True, True)]
)
def test_top_k_is_not_given_where_it_says_nothing(classes: int, top3: bool, top5: bool) -> None:
    scores = evaluate_logits(*drawn(50, classes))
    assert (scores.top3 is not None, scores.top5 is not None) == (top3, top5)


def test_half_precision_logits_are_computed_in_float32() -> None:
    logits, labels = drawn()
    rounded = logits.bfloat16()
    assert evaluate_logits(rounded, labels).loss == evaluate_logits(rounded.float(), labels).loss


def test_ties_go_to_the_lower_class_and_nan_is_never_right() -> None:
    equal = evaluate_logits(torch.zeros(4, 4), torch.arange(4))
    assert equal.top1 == 25.0
    assert equal.top3 == 75.0
    assert evaluate_logits(torch.full((4, 4), float("nan")), torch.zeros(4, dtype=torch.int64)).top1 == 0.0


def test_absent_class_counts_as_in_scikit_learn() -> None:
    logits = torch.eye(4)[[0, 1, 1, 2]]
    scores = evaluate_logits(logits, torch.tensor([0, 1, 2, 2]))
    expected = precision_recall_fscore_support([0, 1, 2, 2], [0, 1, 1, 2], average="macro")[2]
    assert scores.f1_macro == pytest.approx(expected)
    assert scores.classes[3].support == 0


def test_probabilities_give_the_same_scores_and_a_result_is_plain_json() -> None:
    logits, labels = drawn()
    names = [f"class {c}" for c in range(10)]
    stored = evaluate_probabilities(logits.softmax(1).numpy(), labels.numpy(), names)
    assert stored.top5 == evaluate_logits(logits, labels).top5
    assert stored.loss == pytest.approx(evaluate_logits(logits, labels).loss, rel=1e-5)
    result = json.loads(json.dumps(stored.as_result()))
    assert result["classes"][3].keys() == {"name", "precision", "recall", "f1", "support"}
    assert [line.name for line in stored.report()][-3:] == ["accuracy", "macro avg", "weighted avg"]


@pytest.mark.parametrize(("logits", "labels"), [((5, 4), (5,)), ((5, 3), (4,)), ((5,), (5,))])
def test_wrong_shapes_are_refused(logits: tuple[int, ...], labels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Counts(3).update(torch.zeros(logits), torch.zeros(labels, dtype=torch.int64))


def test_no_image_is_no_score() -> None:
    with pytest.raises(ValueError, match="no image"):
        Counts(3).update(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).scores()
