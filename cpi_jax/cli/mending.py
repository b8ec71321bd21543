"""A study is made sound again, and goes on with what is not done."""

from __future__ import annotations

from cpi_jax.cli.from_config import study_from_config
from cpi_jax.cli.planted import append_oracle, planted_from_config
from cpi_jax.cli.saved_config import read_config
from cpi_jax.explain import run_share
from cpi_jax.store.legacy import convert
from cpi_jax.store.locks import hold
from cpi_jax.store.store import Store


def mend(location: str, *, trusted: bool) -> str:
    """Opens the study that a folder describes, which writes again what is lost, and generates what is not proven.

    Args:
      location: its folder.
      trusted: whether the modules that its config.json names are imported.

    Returns:
      How far it is.

    Raises:
      InputError: where it cannot be known what the folder's scores are of, or a classifier's code would have to run.
    """
    config = read_config(location)
    convert(Store(location))
    study = study_from_config(config, location, trusted=trusted)
    budget = study.new_budget()
    with budget.listening():
        outcome = run_share(study, budget=budget).outcome
    if outcome.explanation is not None and (planted := planted_from_config(config)):
        with hold(study.store, "results", wait=True):
            append_oracle(study, outcome.explanation, *planted)
    return outcome.message
