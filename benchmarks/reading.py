"""Reading of a user's data: 100,000 table rows to a plan, and images a second beside plain Pillow; time and peak memory.

    python benchmarks/reading.py --part=table
    python benchmarks/reading.py --part=images

The table has 15 concepts of 0 and 1 (COCO's, as in DEPICT's study), read from a CSV with CLIP's vocabulary. The images are
JPEG photographs of 640 x 480 (scikit-image's), resized to 512 and to 256.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import skimage.data
from PIL import Image

from cpi_jax.data.coco import DEPICT_OBJECTS
from cpi_jax.data.images import ImageFiles
from cpi_jax.data.table import read_table
from cpi_jax.diffusion.checkpoint import load_tokenizer
from cpi_jax.plan.make_plan import make_plan
from cpi_jax.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1]))
from cpi_jax.captions.clip_vocabulary import write_clip_vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["table", "images"], required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if options.part == "table":
            measure_table(Path(temporary), options.rows)
        else:
            measure_images(Path(temporary), options.images)
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def measure_table(root: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"image_id": np.arange(rows), "home": rng.integers(0, 2, rows)})
    for name in DEPICT_OBJECTS:
        frame[name] = (rng.random(rows) < 0.15).astype(int)
    frame.to_csv(root / "table.csv", index=False)
    write_clip_vocabulary(root / "tokenizer", "<|endoftext|>")
    tokenizer = load_tokenizer(root)
    started = time.perf_counter()
    examples = read_table(root / "table.csv", label="home")
    read = time.perf_counter()
    plan = make_plan(examples, tokenizer, 77, Settings())
    planned = time.perf_counter()
    print(
        f"{rows:,} rows: read in {read - started:.1f} s, planned in {planned - read:.1f} s, {plan.num_variants:,} captions"
    )


def measure_images(root: Path, count: int) -> None:
    photos = [Image.fromarray(getattr(skimage.data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")]
    names = [f"{n}.jpg" for n in range(count)]
    for n, name in enumerate(names):
        photos[n % 4].resize((640, 480)).save(root / name, quality=90)
    print("| size | Pillow, images/s | cpi_jax, images/s | ratio |\n|---|---|---|---|")
    for size in (512, 256):
        plain, ours = [], []
        for _ in range(3):
            started = time.perf_counter()
            for name in names:
                picture = Image.open(root / name).convert("RGB")
                np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=(80, 0, 560, 480)))
            plain.append(time.perf_counter() - started)
            started = time.perf_counter()
            for _ in ImageFiles(names, root=root, size=size).batches(32):
                pass
            ours.append(time.perf_counter() - started)
        rates = [count / min(times) for times in (plain, ours)]
        print(f"| {size} | {rates[0]:.0f} | {rates[1]:.0f} | {rates[1] / rates[0]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
