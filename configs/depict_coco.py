"""DEPICT's study of scene classifiers on COCO: 15 objects, and "home or hotel" or another scene from a column of labels.

Captions alone, as DEPICT published them (no images: effective generation is then not checked, and of DEPICT's detectors,
of which 3 of 15 reach an AUROC of .95 on real images, it is not known whether they or the generator err; with images each
concept is judged against its detector's AUROC on them):

    python launch/explain.py --config=configs/depict_coco.py --workdir=runs/depict --config.data.path=captions.csv \\
        --config.generator.path=path/to/stable-diffusion --config.target.path=path/to/classifier

:coco reads instances_*.json, its images and a table of scene labels; :tfds reads TFDS' coco/2017, whose labels a mapping of
your own adds (it returns the columns of an example, `cpi_jax.data.tfds.coco_objects` and the scene):

    --config=configs/depict_coco.py:coco --config.data.path=instances_val2017.json --config.data.labels=scenes.csv \\
        --config.data.image_root=val2017
    --config=configs/depict_coco.py:tfds --config.data.mapping=my_module:my_columns

:coco with each picture edited within the segmentations of its objects (docs/anchored.md):

    --config.sampler.anchor=edit_friendly --config.data.masks=True --config.within_masks=True
"""

from ml_collections import ConfigDict

from cpi_jax.cli.config import base_config, data_config
from cpi_jax.data.coco import DEPICT_OBJECTS
from cpi_jax.errors import require_known

_DATA = {
    "table": {"id": "image_id"},
    "coco": {},
    "tfds": {"name": "coco/2017", "split": "validation", "mapping": "cpi_jax.data.tfds:coco_objects", "id": "image_id"},
}


def get_config(source: str = "table") -> ConfigDict:
    require_known(source, "source of data", tuple(_DATA))
    config = base_config()
    config.data = data_config(source, label="home or hotel", **_DATA[source])
    if source != "coco":  # there the concepts are `objects`, which are DEPICT's
        config.data.concepts = DEPICT_OBJECTS
    config.data.num_examples = 200  # as in DEPICT's published run
    return config
