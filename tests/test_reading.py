"""Commands of pages, as the tests of the documentation follow them."""

import pytest

from tests.reading import launches

COMMANDS = {
    "cpi-jax explain --config=shapes": [("explain", ["--workdir=runs/any", "--config=shapes"])],
    "cpi-jax plan --config=shapes --workdir=x": [("explain", ["--config=shapes", "--workdir=x"])],
    "cpi-jax train-classifier --config=detector": [("train_classifier", ["--config=detector"])],
    "cpi-jax local-workers --workers=2 -- --config=a": [
        ("local_workers", ["--workers=2"]),
        ("explain", ["--config=a"]),
    ],
    "cpi-jax new my_study.py": [],
    "python launch/status.py --workdir=x": [("status", ["--workdir=x"])],
    "ls runs": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_launches(command):
    assert list(launches(tuple(command.split()))) == COMMANDS[command]
