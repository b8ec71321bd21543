"""Evaluates a study as far as it is, at any time, and writes its report.html; generates nothing and disturbs no worker.

    python launch/report.py --workdir=runs/shapes

The study is the one that config.json in its folder describes. Of a classifier in a module (`target.module`) the scores
in the folder are read, and the module is not imported: whoever made the folder would choose what runs here. With --trust
it is; that is needed where the real images were not scored when the study was made, and for a `data.mapping`.
"""

from absl import flags

from cpi_jax.cli import command_line
from cpi_jax.cli.flags import define_workdir

_WORKDIR = define_workdir("The study's folder", remote=True, written=False)
_TRUST = flags.DEFINE_bool("trust", False, "Run the code that config.json in the folder names, because you know it.")


def main():
    from cpi_jax.analysis.early_stopping import EarlyStopping
    from cpi_jax.analysis.results import build_results
    from cpi_jax.cli.from_config import study_from_config
    from cpi_jax.cli.planted import append_oracle, planted_from_config
    from cpi_jax.cli.saved_config import read_config
    from cpi_jax.files.location import require_writable
    from cpi_jax.report.page.page import describe_page
    from cpi_jax.store.workers import hold

    config = read_config(_WORKDIR.value)
    study = study_from_config(config, _WORKDIR.value, readonly=True, trusted=_TRUST.value)
    if not study.store.remote:
        require_writable(study.store.location)
    with hold(study.store, "results", wait=True):
        outcome = build_results(study, EarlyStopping(study))
        if (explanation := outcome.explanation) is not None and (planted := planted_from_config(config)):
            explanation = append_oracle(study, explanation, *planted)
    if explanation is not None:
        print(explanation.summary())
    print(outcome.message)
    if explanation is not None and explanation.workdir is not None:
        print(describe_page(explanation.workdir))


if __name__ == "__main__":
    command_line.run(main, required=("workdir",))
