"""Which setting keeps most of the real pictures, with a painter that edits exactly."""

import dataclasses

import numpy as np
import pytest

from cpi_jax.cli.choose_anchor import Trial, most_faithful, other_examples, try_setting
from cpi_jax.errors import InputError
from cpi_jax.opening import open_study
from tests.generation.test_source_pictures import EDITOR, EXAMPLES, MASKED
from tests.painter import WEIGHTS, flat_settings, reader

SETTINGS = flat_settings(draws=1, unit_size=32, metrics=("auroc",), num_bootstrap=10)


def opened(tokenizer, folder, examples=EXAMPLES):
    scorers = {"target": reader(WEIGHTS), "detector": reader(np.eye(6))}
    return open_study(
        examples, generator=EDITOR, tokenizer=tokenizer, scorers=scorers, settings=SETTINGS, workdir=folder
    )


@pytest.mark.slow
def test_an_exact_editor_keeps_everything(tokenizer, tmp_path):
    trial = try_setting(opened(tokenizer, tmp_path), SETTINGS, 2, 3.0)
    assert (trial.skip, trial.guidance_scale, trial.distance) == (2, 3.0, 0.0)
    assert trial.follows > 1 - 1e-5 and trial.shortfall < 1e-5 and trial.leak < 1e-5
    assert np.isnan(trial.beside)
    masked = try_setting(opened(tokenizer, tmp_path / "masked", MASKED), SETTINGS, 2, 3.0)
    assert masked == dataclasses.replace(trial, beside=0.0)
    assert trial.null in {"blue circle", "blue rectangle", "green circle", "green rectangle"}  # the target reads others


def test_the_closest_that_follows_and_does_not_leak_is_chosen():
    def trial(**fields):
        return Trial(
            **({"skip": 0, "guidance_scale": 3.0, "follows": 1.0, "beside": 0.0, "null": "", "error": 0.0} | fields)
        )

    trials = [
        trial(shortfall=0.01, leak=0.01, distance=25.0),
        trial(shortfall=0.02, leak=0.02, distance=22.0),
        trial(shortfall=0.04, leak=0.01, distance=9.0),
        trial(shortfall=0.0, leak=0.05, distance=8.0),
    ]
    assert most_faithful(trials, SETTINGS) is trials[1]
    assert most_faithful(trials[2:], SETTINGS) is None


def test_it_is_tried_on_examples_that_the_study_does_not_use(tokenizer, tmp_path):
    opened(tokenizer, tmp_path, EXAMPLES.take(np.arange(0, 30, 2)))
    assert other_examples(EXAMPLES, 10, str(tmp_path)).ids.tolist() == list(range(1, 20, 2))
    assert len(other_examples(EXAMPLES, 10, None)) == 10
    texts = dataclasses.replace(EXAMPLES, ids=[f"{i}.png" for i in range(30)])
    assert len(other_examples(texts, 99, str(tmp_path))) == 30
    opened(tokenizer, tmp_path / "all")
    with pytest.raises(InputError, match="0 examples are left beside those of the study, and 8 are needed"):
        other_examples(EXAMPLES, 10, str(tmp_path / "all"))
