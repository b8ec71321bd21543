"""How often the delta method's interval of a ratio holds it, where it is shown only if the denominator is clearly above 0.

python benchmarks/ratio_coverage.py

Both numbers are normal with known errors, as an importance and a distance from chance are in large studies: what is lost
is the method's own. Prints Markdown: coverage of nominal 95 % intervals among those shown, and how many are, by how many of
its errors the true denominator is from 0. `known_share` shows a ratio from 3 errors on.
"""

import numpy as np
from absl import app

from cpi_jax.statistics.known_share import CLEAR

_TRIALS = 200_000


def main(argv):
    del argv
    rng, distances = np.random.default_rng(0), (2, 3, 4, 5, 6, 8)
    print("| true ratio | correlation |" + "".join(f" {z} errors |" for z in distances) + "\n" + "|---" * 8 + "|")
    for ratio in (0.1, 0.5, 0.9):
        for correlation in (0.0, 0.5, 0.9):
            cells = []
            for z in distances:
                first, second = rng.normal(size=(2, _TRIALS))
                error = max(ratio, 0.3)  # of the numerator, where that of the denominator is 1
                below = z + first
                above = ratio * z + error * (correlation * first + np.sqrt(1 - correlation**2) * second)
                found = above / below
                reach = 1.96 * np.sqrt(error**2 - 2 * found * correlation * error + found**2) / np.abs(below)
                shown = below > CLEAR
                cells.append(f" {(np.abs(found - ratio) <= reach)[shown].mean():.1%} of {shown.mean():.0%} |")
            print(f"| {ratio} | {correlation} |" + "".join(cells))


if __name__ == "__main__":
    app.run(main)
