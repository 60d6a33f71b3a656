"""The three models behave as the story says of them."""

import json
from collections.abc import Sequence

import pytest

from serinus.client import calls
from serinus.examples.heart_disease.models import Candidate, features_of, patients, refusals, train


@pytest.fixture(scope="module")
def candidates() -> Sequence[Candidate]:
    return train()


@pytest.mark.parametrize("place", [0, 2])
def test_the_sound_versions_answer_every_patient(candidates: Sequence[Candidate], place: int) -> None:
    assert refusals(candidates[place], patients()) == 0


def test_the_trap_fails_a_realistic_share_of_the_patients(candidates: Sequence[Candidate]) -> None:
    everybody = patients()

    assert 0.10 <= refusals(candidates[1], everybody) / len(everybody) <= 0.25


def test_the_trap_answers_everybody_in_its_own_data(candidates: Sequence[Candidate]) -> None:
    assert refusals(candidates[1], candidates[1].training) == 0


def test_the_trap_has_the_best_accuracy_of_all(candidates: Sequence[Candidate]) -> None:
    sound, trap, tuned = (candidate.accuracy for candidate in candidates)

    assert trap > max(sound, tuned)


def test_the_tuned_version_is_no_less_accurate_than_the_first(candidates: Sequence[Candidate]) -> None:
    assert candidates[2].accuracy >= candidates[0].accuracy > 0.8


def test_training_is_repeatable(candidates: Sequence[Candidate]) -> None:
    again = train()

    assert [each.accuracy for each in again] == [each.accuracy for each in candidates]
    assert [each.dataset_digest for each in again] == [each.dataset_digest for each in candidates]


def test_all_patients_can_be_sent_those_with_missing_values_too() -> None:
    sent = [calls.predict("heart-prod", features).json for features in features_of(patients())]

    assert len(sent) == 303
    assert json.dumps(sent, allow_nan=False).count("null") == 6
