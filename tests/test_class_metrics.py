"""Accuracies per class and the confusion matrix, from one logit and from a logit per class."""

from __future__ import annotations

import math

import pytest
import torch
from made_chain import task_of
from sklearn import metrics as sklearn_metrics
from torch import Tensor

from msnas.chain.output import Binary
from msnas.errors import ConfigError
from msnas.evaluation.class_accuracy import BalancedAccuracy, ClassAccuracy, Confusion
from msnas.losses.cross_entropy import BinaryCrossEntropy

NAMES = ["jet", "tau"]
LOGIT = torch.tensor([0.2, -0.5, 3.0, -2.0, 0.4, -1e-3, -4.0, 0.0])
TRUTH = torch.tensor([1, 1, 1, 0, 0, 0, 0, 0])
"""Of 3 taus 2 are found (logits 0.2 and 3), of 5 jets 4 are."""


def both_forms(logit: Tensor) -> list[Tensor]:
    """The same decisions from one logit and from two."""
    return [logit, torch.stack((torch.full_like(logit, 7.0), 7.0 + logit), -1)]


@pytest.mark.parametrize("output", both_forms(LOGIT), ids=["logit", "logits"])
def test_numbers_by_hand_over_unequal_batches(output: Tensor) -> None:
    minor, major, all_of_them = (
        ClassAccuracy(class_index=1),
        ClassAccuracy(class_index=0),
        ClassAccuracy(),
    )
    balanced, confusion = BalancedAccuracy(classes=2), Confusion(classes=NAMES)
    for metric in (minor, major, all_of_them, balanced, confusion):
        metric.update(output[:2], TRUTH[:2])
        metric.update(output[2:], TRUTH[2:])
    assert float(minor.compute()) == pytest.approx(2 / 3)
    assert float(major.compute()) == pytest.approx(4 / 5)
    assert float(all_of_them.compute()) == pytest.approx(6 / 8)
    assert float(balanced.compute()) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert dict(zip(confusion.variables, confusion.compute().tolist(), strict=True)) == {
        "jet_as_jet": 4,
        "jet_as_tau": 1,
        "tau_as_jet": 1,
        "tau_as_tau": 2,
    }


def test_against_scikit_learn_with_several_objects_and_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(50, 2, 4, generator=generator)
    target = torch.randint(4, (50, 2), generator=generator)
    found, true = output.argmax(-1).flatten(), target.flatten()
    balanced, confusion = BalancedAccuracy(classes=4), Confusion(classes=list("abcd"))
    balanced.update(output, target)
    confusion.update(output, target)
    assert float(balanced.compute()) == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(true, found)
    )
    expected = sklearn_metrics.confusion_matrix(true, found)
    assert confusion.compute().tolist() == expected.flatten().tolist()
    recalls = sklearn_metrics.recall_score(true, found, average=None)
    for index, recall in enumerate(recalls):
        accuracy = ClassAccuracy(class_index=index)
        accuracy.update(output, target)
        assert float(accuracy.compute()) == pytest.approx(recall)


def test_small_positive_logits_are_not_taken_for_probabilities() -> None:
    accuracy = ClassAccuracy(class_index=1)
    accuracy.update(torch.tensor([0.2, 0.4]), torch.tensor([1, 1]))
    assert float(accuracy.compute()) == 1


def test_directions() -> None:
    assert ClassAccuracy(class_index=1).higher_is_better
    assert BalancedAccuracy(classes=2).higher_is_better
    assert Confusion(classes=NAMES).higher_is_better is None


def test_a_task_reports_them() -> None:
    metrics = {
        "minor_accuracy": ClassAccuracy(class_index=1),
        "confusion": Confusion(classes=NAMES),
    }
    reported = task_of("tau_id", "image", "label", Binary(), BinaryCrossEntropy(), **metrics)
    for _ in range(2):  # nothing is left of the first time
        values = reported.measure(LOGIT, {"label": TRUTH})
        assert values["tau_id/minor_accuracy"] == pytest.approx(2 / 3)
        assert sum(values["tau_id/confusion"].values()) == len(TRUTH)


def test_a_class_that_does_not_occur_has_no_accuracy() -> None:
    accuracy, balanced = ClassAccuracy(class_index=1), BalancedAccuracy(classes=2)
    for metric in (accuracy, balanced):
        metric.update(torch.tensor([-1.0]), torch.tensor([0]))
        assert math.isnan(metric.compute())


def test_more_classes_than_named_are_refused() -> None:
    with pytest.raises(ConfigError, match="metrics: class 2 occurs, but there are only 2 classes"):
        Confusion(classes=NAMES).update(torch.eye(3), torch.tensor([0, 1, 2]))
