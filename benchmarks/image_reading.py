"""Images a second that are decoded and resized: this package beside plain Pillow in one thread, and peak memory.

python benchmarks/image_reading.py --images=2000

JPEG photographs of 640 x 480 (of scikit-image), resized to 512 and to 256. Prints Markdown.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from cpi_jax.data.images import ImageFiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        photos = [
            Image.fromarray(getattr(skimage.data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")
        ]
        for n in range(options.images):
            photos[n % 4].resize((640, 480)).save(root / f"{n}.jpg", quality=90)
        names = [f"{n}.jpg" for n in range(options.images)]
        print("| size | Pillow, images/s | cpi_jax, images/s | ratio |\n|---|---|---|---|")
        for size in (512, 256):
            plain, ours = [], []
            for _ in range(3):
                started = time.perf_counter()
                for name in names:
                    picture = Image.open(root / name).convert("RGB").crop((80, 0, 560, 480))
                    np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))
                plain.append(time.perf_counter() - started)
                started = time.perf_counter()
                for _ in ImageFiles(names, root=root, size=size).batches(32):
                    pass
                ours.append(time.perf_counter() - started)
            rates = [options.images / min(times) for times in (plain, ours)]
            print(f"| {size} | {rates[0]:.0f} | {rates[1]:.0f} | {rates[1] / rates[0]:.2f} |", flush=True)
        print(f"\npeak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
