"""Ranks the concepts that an image classifier relies on.

    python launch/explain.py --config=configs/shapes.py --workdir=runs/shapes

The same command resumes a study that was stopped. --config.FIELD=VALUE overrides a field of the config; more draws, more
concepts and more examples extend a study. --worker=i/n generates the i-th of n shares (docs/large_studies.md).
"""

from cpi_jax.cli import command_line  # isort: skip  first: from here on, Ctrl-C ends in a line

import sys

from absl import flags

from cpi_jax.cli.flags import define_study, define_workdir

_CONFIG = define_study()
_WORKDIR = define_workdir("Folder for scores and results", remote=True)
_WORKER = flags.DEFINE_string(
    "worker", "", "i/n: generate the i-th of n shares; empty: Slurm's or the TPU slice's, or all."
)


def main():
    from cpi_jax.cli.dry_run import describe_cost, describe_data
    from cpi_jax.cli.from_config import study_from_config
    from cpi_jax.cli.planted import append_oracle, planted_from_config
    from cpi_jax.explain import run_share
    from cpi_jax.report.page.page import describe_page
    from cpi_jax.store.locks import hold
    from cpi_jax.store.workers import find_worker

    config = _CONFIG.value
    worker = find_worker(_WORKER.value)
    study = study_from_config(config, _WORKDIR.value, readonly=config.plan_only)
    if config.note:
        print(f"Note: {config.note}", file=sys.stderr)
    if config.plan_only:
        print(describe_data(study), describe_cost(study), sep="\n")
        return
    budget = study.new_budget()
    with budget.listening():
        run = run_share(study, worker, budget)
    if (explanation := run.outcome.explanation) is not None:
        if planted := planted_from_config(config):
            with hold(study.store, "results", wait=True):
                explanation = append_oracle(study, explanation, *planted)
        print(explanation.summary())
    print(run.outcome.message)
    if not run.outcome.whole:
        alone = "resume with the same command"
        share = f"worker {worker} has done its share; whoever finds the table whole writes the results"
        print(alone if worker.count == 1 or run.ended else share)
    if explanation is not None and explanation.workdir is not None:
        print(describe_page(explanation.workdir))


if __name__ == "__main__":
    command_line.run(main)
