"""Measures of confidence against closed forms, scikit-learn, and classifiers made so that the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, roc_auc_score

from levelfield.evaluation.brier_parts import brier_parts
from levelfield.evaluation.calibration_error import (
    debiased_calibration_error,
    equal_mass,
    equal_width,
    expected_calibration_error,
)
from levelfield.evaluation.conformal import conformal_sets, threshold
from levelfield.evaluation.out_of_distribution import detection, highest_probability, negative_energy
from levelfield.evaluation.selective import accuracy_at, area_under_risk, selective_risk
from levelfield.evaluation.tally import tally_probabilities

RNG = np.random.default_rng(11)


def drawn(count: int, classes: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels drawn by them at `sharpness` 1; at others by sharper or flatter ones."""
    logits = 2 * RNG.standard_normal((count, classes))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    true = np.exp(sharpness * logits) / np.exp(sharpness * logits).sum(1, keepdims=True)
    labels = (true.cumsum(1) < RNG.random((count, 1))).sum(1).clip(max=classes - 1)
    return p, labels.astype(np.int64)


def test_a_classifier_that_is_always_80_percent_sure_and_60_percent_right_is_off_by_20() -> None:
    confidence, right = np.full(1000, 0.8), np.arange(1000) % 10 < 6
    for bins in (equal_width(confidence, right), equal_mass(confidence, right, 1)):
        assert expected_calibration_error(bins) == pytest.approx(20)
        noise = 0.6 * 0.4 / 999
        assert debiased_calibration_error(bins) == pytest.approx(100 * math.sqrt(0.2**2 - noise))


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_bins_are_those_of_scikit_learn(strategy: str) -> None:
    confidence = RNG.permutation(3000) / 3000 + 1e-5
    right = RNG.random(3000) < confidence
    share, mean = calibration_curve(right, confidence.clip(max=1), n_bins=15, strategy=strategy)
    found = (equal_width if strategy == "uniform" else equal_mass)(confidence.clip(max=1), right)
    assert found.right == pytest.approx(share) and found.confidence == pytest.approx(mean)


def test_bins_of_equal_mass_do_not_depend_on_the_order_of_images_of_equal_confidence() -> None:
    """A sure network's probabilities are 1 in float32 for many images."""
    confidence = np.concatenate([RNG.random(700), np.ones(500), np.full(3, 0.25)])
    right = RNG.random(len(confidence)) < confidence - 0.1
    found = equal_mass(confidence, right)
    assert found.count.sum() == len(confidence) and len(found.count) < 15
    assert found.count[-1] >= 500 and found.confidence[-1] > 0.99
    for order in (np.argsort(right), np.argsort(~right), RNG.permutation(len(right))):
        other = equal_mass(confidence[order], right[order])
        assert (other.count == found.count).all() and other.right == pytest.approx(found.right, abs=1e-12)
    noise_free = equal_mass(np.full(1000, 0.8), np.arange(1000) % 10 < 6)
    assert debiased_calibration_error(noise_free) == pytest.approx(100 * math.sqrt(0.04 - 0.24 / 999))


def test_equal_width_bins_give_the_error_that_results_hold() -> None:
    p, label = drawn(4000, 10, 0.7)
    found = expected_calibration_error(equal_width(p.max(1), p.argmax(1) == label))
    assert found == pytest.approx(tally_probabilities(p.astype(np.float32), label).scores().calibration.ece, abs=0.05)


def test_of_a_calibrated_classifier_the_debiased_square_is_zero_on_average_and_the_plain_one_is_the_noise() -> None:
    """The squared plug-in estimate has expectation sum over bins of p (1 - p) / N."""
    plain, debiased = [], []
    for _ in range(400):
        confidence = np.repeat([0.3, 0.5, 0.9], 50)
        bins = equal_width(confidence, RNG.random(150) < confidence)
        squares = (bins.right - bins.confidence) ** 2
        plain.append((bins.count * squares).sum() / 150)
        debiased.append((bins.count * (squares - bins.right * (1 - bins.right) / (bins.count - 1))).sum() / 150)
    noise = (0.3 * 0.7 + 0.5 * 0.5 + 0.9 * 0.1) / 150
    assert np.mean(plain) == pytest.approx(noise, rel=0.15)
    assert abs(np.mean(debiased)) < 0.15 * noise


def test_of_bins_of_one_image_the_debiased_error_is_not_known() -> None:
    """Fifteen images that are all wrong, and surely not off by nothing."""
    assert debiased_calibration_error(equal_mass(np.linspace(0.85, 0.95, 15), np.zeros(15, dtype=bool))) is None


def test_a_calibrated_network_is_found_to_be_one_and_a_flat_one_is_not() -> None:
    for sharpness, low, high in ((1.0, 0.0, 1.5), (3.0, 15.0, 40.0)):
        p, label = drawn(20_000, 5, sharpness)
        found = debiased_calibration_error(equal_mass(p.max(1), p.argmax(1) == label))
        assert found is not None and low <= found <= high


def test_parts_of_the_brier_score_add_up_to_scikit_learns() -> None:
    p, label = drawn(3000, 6, 0.6)
    parts = brier_parts(p, label)
    assert parts.brier == pytest.approx(brier_score_loss(label, p, scale_by_half=False, labels=range(6)))
    assert parts.brier == pytest.approx(parts.miscalibration - parts.discrimination + parts.uncertainty, abs=1e-12)
    assert parts.miscalibration > 0 and parts.discrimination > 0


def test_of_few_forecasts_in_order_they_are_murphys() -> None:
    """Reliability, resolution and uncertainty of Murphy (1973), per class, summed over the two."""
    said = RNG.choice([0.1, 0.4, 0.8], 6000)
    label = (RNG.random(6000) < 0.2 + 0.7 * said).astype(np.int64)
    parts = brier_parts(np.stack([1 - said, said], 1), label)
    share = label.mean()
    groups = [(np.mean(said == value), value, label[said == value].mean()) for value in (0.1, 0.4, 0.8)]
    assert parts.miscalibration == pytest.approx(2 * sum(w * (value - seen) ** 2 for w, value, seen in groups))
    assert parts.discrimination == pytest.approx(2 * sum(w * (seen - share) ** 2 for w, _, seen in groups))
    assert parts.uncertainty == pytest.approx(2 * share * (1 - share))


def test_risk_of_a_perfect_order_a_random_one_and_of_equal_confidence() -> None:
    n, wrong = 1000, 100
    right = np.arange(n) >= wrong
    best = selective_risk(np.arange(n, dtype=np.float64), right)
    # Wrong images come last: sum over k > n - e of (k - (n - e)) / k, over n.
    closed = sum((k - (n - wrong)) / k for k in range(n - wrong + 1, n + 1)) / n
    assert area_under_risk(best) == pytest.approx(100 * closed)
    assert accuracy_at(best, 0.9) == 100 and accuracy_at(best, 1.0) == 90
    assert area_under_risk(selective_risk(np.full(n, 0.5), right)) == pytest.approx(10)


def test_equal_confidences_count_as_the_mean_over_their_orders() -> None:
    confidence, right = np.array([0.9, 0.5, 0.5, 0.5]), np.array([True, False, True, True])
    mean = np.mean([
        area_under_risk(selective_risk(confidence - 1e-6 * RNG.permutation(4), right)) for _ in range(4000)
    ])  # fmt: skip
    assert area_under_risk(selective_risk(confidence, right)) == pytest.approx(mean, rel=0.02)


def test_conformal_sets_hold_the_right_class_as_often_as_stated() -> None:
    """Over draws of both sets coverage is ceil((n + 1)(1 - miss)) / (n + 1) exactly, as scores are continuous."""
    n, miss, found = 99, 0.1, []
    for _ in range(400):
        held, test = drawn(n, 4, 0.5), drawn(200, 4, 0.5)
        found.append(conformal_sets(held, test, miss).coverage)
    assert np.mean(found) == pytest.approx(100 * 90 / 100, abs=3 * np.std(found) / 20)


def test_threshold_is_the_stated_order_statistic_and_too_few_images_give_all_classes() -> None:
    p = np.stack([np.arange(1, 20) / 20, 1 - np.arange(1, 20) / 20], 1)
    label = np.zeros(19, dtype=np.int64)
    assert threshold(p, label, 0.1) == pytest.approx(0.1)  # k = 18 of 19: the second lowest probability
    assert threshold(p, label, 0.01) == 0
    sets = conformal_sets((p, label), (p, label), 0.01)
    assert sets.size == 2 and sets.coverage == 100 and sets.empty == 0


def test_detection_of_two_normal_scores_has_the_closed_form() -> None:
    known, other = RNG.normal(1, 1, 40_000), RNG.normal(0, 1, 40_000)
    found = detection(known, other)

    def below(z: float) -> float:
        return 0.5 * (1 + math.erf(z / math.sqrt(2)))

    assert found.auroc == pytest.approx(100 * below(1 / math.sqrt(2)), abs=0.5)
    assert found.fpr95 == pytest.approx(100 * (1 - below(1 - 1.6449)), abs=1)
    assert found.auroc == pytest.approx(100 * roc_auc_score([1] * 40_000 + [0] * 40_000, [*known, *other]))


def test_scores_of_logits() -> None:
    logits = np.array([[0.0, 0.0], [1000.0, 998.0]], dtype=np.float32)
    assert negative_energy(logits) == pytest.approx([math.log(2), 1000 + math.log1p(math.exp(-2))])
    assert highest_probability(logits) == pytest.approx([0.5, 1 / (1 + math.exp(-2))])
