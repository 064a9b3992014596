"""Temperature scaling finds the temperature that was put in, and the least loss."""

from __future__ import annotations

import numpy as np
import pytest

from levelfield.evaluation.tally import tally_probabilities
from levelfield.evaluation.temperature import at_temperature, fit_temperature, negative_log_likelihood


def drawn(temperature: float, count: int = 40_000, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are wrong by a temperature, and labels drawn by the right ones."""
    rng = np.random.default_rng(3)
    logits = 2 * rng.standard_normal((count, classes))
    right = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (right.cumsum(1) < rng.random((count, 1))).sum(1)
    said = np.exp(logits * temperature)
    return (said / said.sum(1, keepdims=True)).astype(np.float32), labels.astype(np.int64)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    said, labels = drawn(temperature)
    found = fit_temperature(said, labels)
    assert found == pytest.approx(temperature, rel=0.03)
    least = negative_log_likelihood(at_temperature(said, found), labels)
    for other in (0.9 * found, 1.1 * found):
        assert least < negative_log_likelihood(at_temperature(said, other), labels)


def test_ranks_stay_and_probabilities_sum_to_one() -> None:
    said, _ = drawn(1.0, 100)
    for temperature in (0.01, 0.5, 100.0):
        scaled = at_temperature(said, temperature)
        assert (scaled.argmax(1) == said.argmax(1)).all()
        np.testing.assert_allclose(scaled.sum(1), 1.0)
    np.testing.assert_allclose(at_temperature(said, 1.0), said, atol=1e-7)


def test_what_no_temperature_mends_ends_at_a_bound() -> None:
    sure = np.array([[0.9, 0.1], [0.1, 0.9]], dtype=np.float32)
    assert fit_temperature(sure, np.array([0, 1])) == pytest.approx(0.01, rel=1e-6)
    assert fit_temperature(sure, np.array([1, 0])) == pytest.approx(100.0, rel=1e-6)
    with pytest.raises(ValueError, match="no image"):
        fit_temperature(sure[:0], np.zeros(0, np.int64))


def test_of_a_network_that_is_far_too_sure_the_loss_is_that_of_its_table_and_the_temperature_is_found() -> None:
    """Most of its probabilities are below 1e-12, which float32 holds: nothing of them is cut off."""
    rng = np.random.default_rng(4)
    logits = rng.standard_normal((4000, 5))
    right = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (right.cumsum(1) < rng.random((4000, 1))).sum(1).astype(np.int64)
    said = np.exp(20 * (logits - logits.max(1, keepdims=True)))
    sure = (said / said.sum(1, keepdims=True)).astype(np.float32)
    loss = tally_probabilities(sure, labels).scores().loss
    assert negative_log_likelihood(sure, labels) == pytest.approx(loss, rel=1e-5)
    assert fit_temperature(sure, labels) == pytest.approx(20, rel=0.1)
