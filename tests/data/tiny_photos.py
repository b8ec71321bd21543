"""A TFDS data set of three images, and of these twice, prepared without TensorFlow."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


class TinyPhotos(tfds.core.GeneratorBasedBuilder):
    """Three grey images with objects and a label."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        label = tfds.features.ClassLabel(names=["bed", "chair"])
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "image/id": tfds.features.Scalar(np.int64),
            "home": tfds.features.Scalar(np.int64),
            "place": tfds.features.Text(),
            "main": label,
            "objects": tfds.features.Sequence({"label": label}),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(1), "twice": self._generate_examples(2)}

    def _generate_examples(self, times):
        for n, (value, objects) in enumerate([(10, ["chair", "bed", "chair"]), (120, []), (240, ["chair"])] * times):
            content = io.BytesIO()
            Image.fromarray(np.full((6, 6, 3), value, np.uint8)).save(content, "PNG")
            yield (
                n,
                {
                    "image": io.BytesIO(content.getvalue()),
                    "image/id": n + 1,
                    "home": int(n % 3 == 1),
                    "main": "bed" if n % 3 == 1 else "chair",
                    "place": ["garden", "kitchen", "garden"][n % 3],
                    "objects": [{"label": name} for name in objects],
                },
            )
