"""Trains a Stable Diffusion checkpoint, from nothing or from one that there is.

python launch/train_generator.py --config=configs/train_generator.py --workdir=/tmp/shapes_generator
python launch/train_generator.py --config=configs/finetune_sd.py --workdir=runs/finetuned --config.init=FOLDER ...

At every export: samples/step_*.png, and in progress.csv the AUROC of the detector, where there is one. The same command
resumes.
"""

from cpi_jax.cli import command_line  # isort: skip  first: from here on, Ctrl-C ends in a line

from pathlib import Path

import jax
import numpy as np
from absl import flags, logging
from ml_collections import ConfigDict

from cpi_jax.classifiers.scorer import load_resnet, pick_outputs
from cpi_jax.cli.flags import define_config, define_workdir
from cpi_jax.cli.from_config import examples_from_config
from cpi_jax.cli.log_lines import tell_progress
from cpi_jax.data.examples import Examples
from cpi_jax.embedded import find_embedded
from cpi_jax.errors import InputError
from cpi_jax.report.sheets import write_sheet
from cpi_jax.training.evaluation import detector_auroc, draw_samples
from cpi_jax.training.prompts import prompt_texts
from cpi_jax.training.record import Record
from cpi_jax.training.stable_diffusion import train_stable_diffusion

_CONFIG = define_config("What to train", ("data", "unet", "evaluation", "init"))
_WORKDIR = define_workdir("Where checkpoints and the export go; the same command resumes")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Several processes train together; JAX finds them, or its variables say."
)

SHEET = (4, 6)  # lines and pictures in each
MEAN = "mean AUROC"


def main():
    tell_progress()
    if _DISTRIBUTED.value:
        jax.distributed.initialize()
    config, workdir = _CONFIG.value, Path(_WORKDIR.value)
    evaluation = config.evaluation
    examples, held_out = _split(config)
    detector = None
    if evaluation.detector:
        detector = load_resnet(find_embedded("detector", evaluation.detector))
        detector = pick_outputs(detector, held_out.concept_names)
    record = Record(workdir)
    said = {"separator": config.separator, "empty": config.empty}

    def report(step, folder):
        sampling = {name: evaluation[name] for name in ("steps", "guidance_scale")}
        images = draw_samples(folder, held_out, **said, **sampling, batch_size=config.unet.batch_size)
        _write_sheet(workdir / "samples" / f"step_{step:06d}.png", images, prompt_texts(held_out, **said))
        if detector is None:
            logging.info("step %d: exported", step)
            return False
        auroc = detector_auroc(images, detector, held_out)
        each = {f"AUROC {name}": value for name, value in zip(held_out.concept_names, auroc.tolist())}
        record.add(step, {MEAN: float(np.nanmean(auroc)), **each})
        logging.info("step %d: detector AUROC %s, mean %.4f", step, auroc.round(3), np.nanmean(auroc))
        ended = record.has_stopped_improving(evaluation.patience, MEAN)
        if ended:
            logging.info("ended: %d exports without a better mean AUROC", evaluation.patience)
        return ended

    print(f"wrote {train_stable_diffusion(config, examples, workdir, report)}")


def _split(config: ConfigDict) -> tuple[Examples, Examples]:
    """What is trained on, and what exports are scored on: data of its own, or examples that are held out."""
    examples = examples_from_config(config)
    if "data" in config.evaluation:
        return examples, examples_from_config(config.evaluation)
    if not 0 < config.held_out < len(examples):
        raise InputError(f"of {len(examples)} examples {config.held_out} cannot be held out: --config.held_out")
    order = np.random.default_rng(config.seed).permutation(len(examples))
    return examples.take(np.sort(order[config.held_out :])), examples.take(order[: config.held_out])


def _write_sheet(path: Path, images: np.ndarray, captions: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines, width = SHEET
    pictures = list(zip(images, captions))[: lines * width]
    write_sheet(path, [pictures[i : i + width] for i in range(0, len(pictures), width)])


if __name__ == "__main__":
    command_line.run(main)
