"""The Python of docs/data.md runs as written, on a folder where its files are small."""

import re
import shutil
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cpi_jax.data.table import read_table
from cpi_jax.data.tfds import read_tfds
from tests.data.test_sources import NAMES, PIXELS, coco_file

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
GARMENTS = Path("/usr/share/datasets/fashion-mnist")


def run(says):
    """What the one block that says this defines."""
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if says in b)
    names = {}
    exec(compile(block, str(PAGE), "exec"), names)
    return types.SimpleNamespace(**names)


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("photos/in", "val2017"):
        Path(folder).mkdir(parents=True)
    for name, pixels in zip(NAMES, PIXELS):
        Image.fromarray(pixels).save(f"val2017/{name}")
    return tmp_path


def test_a_config_of_a_table():
    ages = {
        "patient": [1, 1, 2],
        "pneumonia": [0, 1, 1],
        "age": [30, 50, 70],
        "sex": ["M", "F", "F"],
        "tube": [1, 0, 1],
    }
    pd.DataFrame(ages).to_csv("patients.csv", index=False)
    fields = run("patients.csv").get_config().data.to_dict()
    assert fields.pop("source") == "table"
    examples = read_table(**fields)
    assert examples.slots[0] == ("age under 40", "male", "a chest tube") and examples.slots[1][2] == ""


def test_free_captions():
    examples = run("caption=").examples
    assert examples.concept_names == ("dog", "cat", "sofa")
    assert examples.concepts.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


def test_an_image_folder(photos):
    shutil.copy("val2017/000.png", "photos")
    shutil.copy("val2017/001.png", "photos/in")
    lines = re.findall(r"^    (file_name,.*\n(?:    .*\n)+)", PAGE.read_text(), re.MULTILINE)
    Path("photos/metadata.csv").write_text(lines[0].replace("    ", ""))
    examples = run("read_folder").examples
    assert examples.slots == [("1 dog", "carpet"), ("", "grass")] and examples.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(examples.images.read()[:, 0, 0, 0], [10, 120])


def test_coco(photos):
    coco_file(photos)
    Path("instances.json").rename("instances_val2017.json")
    pd.read_csv("scenes.csv").rename(columns={"home": "home or hotel"}).to_csv("scenes.csv", index=False)
    examples = run("read_coco").examples
    assert examples.slots == [("1 person", "1 chair", ""), ("", "1 chair", "1 bed"), ("", "", "")]
    np.testing.assert_array_equal(examples.images.read()[:, 0, 0, 0], [240, 10, 120])


def test_tfds(photos, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    from tests.data.tiny_photos import TinyPhotos

    TinyPhotos(data_dir="tfds", file_format="array_record").download_and_prepare()

    def read_tiny(name, *, split, **kwargs):
        assert (name, split) == ("coco/2017", "validation")
        return read_tfds("tiny_photos", data_dir="tfds", **kwargs)

    monkeypatch.setattr("cpi_jax.data.tfds.read_tfds", read_tiny)
    examples = run("read_tfds").examples
    assert examples.slots == [("", "1 chair", ""), ("", "", ""), ("", "1 chair", "")]
    assert examples.labels.tolist() == [1, 0, 0] and examples.ids.tolist() == [1, 2, 3]


@pytest.mark.skipif(not GARMENTS.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_garments_on_photographs(photos):
    shutil.rmtree("photos")
    run("fashion-mnist")
    table = pd.read_csv("photos/metadata.csv")
    assert len(table) == 2000 and set(table.ground) == {"grass", "gravel", "brick"}
    assert Image.open(Path("photos") / table.file_name[0]).size == (64, 64)
