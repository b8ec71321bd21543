"""Which of two classifiers takes a shortcut? The study of study.py for both, beside counterfactuals and heat maps.

make fashion
python -m benchmarks.shortcut --config=benchmarks/shortcut/config.py:tiny --workdir=runs/fashion_tiny
"""

from ml_collections import ConfigDict

from benchmarks.shortcut import study
from benchmarks.shortcut.photographs import ASSETS
from benchmarks.shortcut.record import CLASSIFIERS


def get_config(size: str = "full") -> ConfigDict:
    config = study.get_config(size)
    tiny = size == "tiny"
    config.target.path = ""
    config.classifiers = {name: {"path": str(ASSETS / name)} for name in CLASSIFIERS}
    config.heat_maps = ConfigDict(  # of other photographs than the study's; the first num_shown are drawn
        {"num_examples": 10 if tiny else 100, "num_segments": 50, "num_samples": 20 if tiny else 100, "num_shown": 4}
    )
    config.statistics.gaps = "" if tiny else "background"  # of which 30 examples have too few of a class
    config.true_subsets = 2 if tiny else 20  # of examples, whose true pictures correct the importances
    config.sheet_examples = 4  # on each sheet of pictures
    return config
