"""Trains a Stable Diffusion checkpoint; after each export the detector, where there is one, scores samples of it.

python launch/train_generator.py --config=configs/train_generator.py:shapes --workdir=/tmp/shapes_generator
python launch/train_generator.py --config=configs/train_generator.py:fashion --workdir=/tmp/fashion_generator
"""

from absl import flags, logging
from ml_collections import config_flags

from cpi_jax import command_line
from cpi_jax.classifiers.scorer import load_resnet
from cpi_jax.embedded import SHAPES_DETECTOR
from cpi_jax.from_config import examples_from_config
from cpi_jax.training.evaluation import detector_auroc
from cpi_jax.training.stable_diffusion import train_stable_diffusion

_CONFIG = config_flags.DEFINE_config_file("config", None, "What to train.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where checkpoints and the export go; the same command resumes.")


def main():
    logging.set_verbosity(logging.INFO)
    config = _CONFIG.value
    evaluation = config.evaluation
    if evaluation.detector:
        held_out = examples_from_config(evaluation)
        detector = load_resnet(SHAPES_DETECTOR if evaluation.detector == "embedded" else evaluation.detector)

    def report(step, folder):
        if not evaluation.detector:
            logging.info("step %d: exported", step)
            return
        captions = {"separator": config.separator, "empty": config.empty}
        sampling = {"steps": evaluation.steps, "guidance_scale": evaluation.guidance_scale}
        auroc = detector_auroc(folder, detector, held_out, **captions, **sampling)
        logging.info("step %d: detector AUROC %s, mean %.4f", step, auroc.round(3), auroc.mean())

    train_stable_diffusion(config, examples_from_config(config), _WORKDIR.value, report)


if __name__ == "__main__":
    command_line.run(main)
