"""Folders, COCO files and TFDS data sets become the same examples."""

import json
import os
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cpi_jax.data.coco import read_coco
from cpi_jax.data.folder import read_folder
from cpi_jax.data.tfds import coco_objects, read_tfds
from cpi_jax.errors import InputError

CASES = Path(__file__).parent / "cases"
NAMES = ["000.png", "001.png", "002.png"]
PIXELS = [np.full((6, 6, 3), value, np.uint8) for value in (10, 120, 240)]


@pytest.fixture
def photos(tmp_path):
    for name, pixels in zip(NAMES, PIXELS):
        Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def check_images(examples):
    np.testing.assert_array_equal(examples.images.read()[:, 0, 0, 0], [10, 120, 240][: len(examples)])


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_image_folder(photos, kind):
    frame = pd.DataFrame({"file_name": NAMES, "indoors": [0, 1, 1], "dog": [1, 0, 1], "ground": ["grass", "", "mat"]})
    write = {
        "csv": lambda f: frame.to_csv(f, index=False),
        "jsonl": lambda f: frame.to_json(f, orient="records", lines=True),
        "parquet": frame.to_parquet,
    }
    write[kind](photos / f"metadata.{kind}")
    examples = read_folder(photos, label="indoors")
    assert examples.slots == [("1 dog", "grass"), ("", ""), ("1 dog", "mat")]
    assert examples.ids.tolist() == NAMES and examples.labels.tolist() == [0, 1, 1]
    check_images(examples)


def test_a_folder_without_concepts_is_refused(photos):
    with pytest.raises(InputError, match=r"has no metadata.csv or metadata.jsonl.*say nothing of concepts"):
        read_folder(photos, label="indoors")
    with pytest.raises(InputError, match="there is no folder"):
        read_folder(photos / "none", label="indoors")
    for text, message in (
        ('{"file_name": "000.png"}\n{', "line 2 of .*metadata.jsonl cannot be read as JSON"),
        ('[{"file_name": "000.png"}]', "line 1 of .*metadata.jsonl is no JSON object"),
    ):
        (photos / "metadata.jsonl").write_text(text)
        with pytest.raises(InputError, match=message):
            read_folder(photos, label="indoors")
    (photos / "metadata.csv").write_text("")
    with pytest.raises(InputError, match=r"metadata.csv cannot be read as a table"):
        read_folder(photos, label="indoors")


def test_json_keeps_its_types(photos):
    rows = [{"file_name": name, "id": name[:3], "date": "2020-01-01", "dog": n} for n, name in enumerate(NAMES[:2])]
    (photos / "metadata.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    examples = read_folder(photos, label="dog", concepts=("date",), id="id")
    assert examples.ids.tolist() == ["000", "001"] and examples.slots[0] == ("2020-01-01",)


def test_whole_numbers_beside_missing_ones_stay_whole(photos):
    first = {"file_name": NAMES[0], "id": 2**53 + 1, "patient": 2**53 + 1, "home": 1, "dog": 2}
    rows = [first, {"file_name": NAMES[1], "id": 2, "home": 0}]
    (photos / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match=r"row 2 \(id 2\), column 'dog' holds nothing"):
        read_folder(photos, label="home", id="id", concepts=("dog",))
    examples = read_folder(photos, label="home", id="id", concepts=("dog",), columns=("patient",), na_values=("",))
    assert examples.ids.tolist() == examples.columns["patient"].tolist() == [2**53 + 1]
    assert examples.slots == [("2 dog",)]
    np.testing.assert_array_equal(examples.images.read()[:, 0, 0, 0], [10])
    (photos / "metadata.jsonl").write_text('{"file_name": "000.png", "home": 1, "dog": 1, "dog": 0}')
    with pytest.raises(InputError, match=r"line 1 of .*: it has two values of 'dog'"):
        read_folder(photos, label="home")
    (photos / "metadata.jsonl").unlink()
    (photos / "metadata.csv").write_text("file_name;home;dog\n000.png;1;yes\n001.png;0;no\n")
    assert read_folder(photos, label="home", sep=";").slots == [("1 dog",), ("",)]


def coco_file(folder, *more_images):
    content = {
        "images": [{"id": 7 + n, "file_name": name} for n, name in enumerate(NAMES)] + list(more_images),
        "categories": [{"id": 1, "name": "person"}, {"id": 62, "name": "chair"}, {"id": 65, "name": "bed"}],
        "annotations": [
            {"image_id": 7, "category_id": 62, "segmentation": [[1, 2, 3, 4]]}, {"image_id": 7, "category_id": 62},
            {"image_id": 9, "category_id": 1},
            {"image_id": 7, "category_id": 65}, {"image_id": 9, "category_id": 62},
        ],
    }  # fmt: skip
    (folder / "instances.json").write_text(json.dumps(content))
    pd.DataFrame({"image_id": [9, 7, 8, 100], "home": [1, 0, 1, 0]}).to_csv(folder / "scenes.csv", index=False)
    return {"path": folder / "instances.json", "labels": folder / "scenes.csv", "objects": ("person", "chair", "bed")}


def test_cocos_annotations(photos):
    files = coco_file(photos)
    examples = read_coco(**files, image_root=photos, label="home")
    assert examples.ids.tolist() == [9, 7, 8] and examples.labels.tolist() == [1, 0, 1]
    assert examples.slots == [("1 person", "1 chair", ""), ("", "1 chair", "1 bed"), ("", "", "")]
    np.testing.assert_array_equal(examples.images.read()[:, 0, 0, 0], [240, 10, 120])
    every = read_coco(**files | {"objects": ()}, label="home", columns=("file_name",))
    assert every.slots == examples.slots and every.columns["file_name"].tolist() == [NAMES[2], NAMES[0], NAMES[1]]
    counted = read_coco(**files, label="home", counts=True)
    assert counted.slots[1] == ("", "2 chair", "1 bed") and counted.images is None


def test_cocos_segmentations(photos):
    """Polygons, run lengths and crowds: of a concept the pixels of all its objects; they stay with their pictures."""
    files = coco_file(photos)
    content = json.loads(files["path"].read_text())
    sizes = [Image.open(photos / name).size for name in NAMES]
    content["images"] = [dict(image, width=w, height=h) for image, (w, h) in zip(content["images"], sizes)]
    (width, height), (other_width, other_height) = sizes[0], sizes[2]
    corner = [[0, 0, 2, 0, 2, 1, 0, 1]]  # two pixels
    last = {"size": [height, width], "counts": [height * width - 1, 1]}
    everything = {"size": [other_height, other_width], "counts": [0, other_height * other_width]}
    outlines = [corner, last, everything, corner, corner]
    for number, (annotation, outline) in enumerate(zip(content["annotations"], outlines)):
        annotation |= {"id": 50 + number, "segmentation": outline, "iscrowd": int(isinstance(outline, dict))}
    files["path"].write_text(json.dumps(content))
    files["labels"].write_text("image_id,home\n9,1\n8,\n7,0\n")
    given = {"label": "home", "na_values": ("",), "masks": True, "image_root": photos}
    examples = read_coco(**files, **given)
    assert examples.ids.tolist() == [9, 7] and examples.slot_names == ("person", "chair", "bed")
    assert examples.masks[0].sum((1, 2)).tolist() == [other_height * other_width, 2, 0]
    assert examples.masks[1].sum((1, 2)).tolist() == [0, 3, 2] and examples.masks[1][1][-1, -1]
    assert examples.take(np.array([1])).masks[0].sum() == 5
    assert read_coco(**files | {"objects": ("bed",)}, **given).masks[1].sum() == 2
    assert read_coco(**files, **given | {"masks": False}).masks is None

    def refused(message, change=lambda content: None, **changes):
        changed = json.loads(json.dumps(content))
        change(changed)
        files["path"].write_text(json.dumps(changed))
        with pytest.raises(InputError, match=message):
            read_coco(**files, **given | changes)

    refused("data.masks are of the images: name their folder, data.image_root", image_root="")
    refused(
        r"the segmentation of annotation 51 \(chair in '000.png'\) cannot be: it is neither polygons nor run lengths",
        lambda content: content["annotations"][1].pop("segmentation"),
    )
    refused(
        rf"annotation 50 \(chair in '000.png'\) cannot be: its corner \(99, 2\) lies outside the picture of {width} x",
        lambda content: content["annotations"][0].update(segmentation=[[1, 1, 99, 2, 3, 3]]),
    )
    refused(
        rf"the segmentations of '000.png' are of \[height, width\] \[{height}, 999\], and the image has \[{height}, ",
        lambda content: content["images"][0].update(width=999),
    )
    files["path"].write_text(json.dumps(content))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photos / NAMES[0]).save(photos / NAMES[0], exif=exif)
    refused(r"the image of row 3 \(000.png\) is turned by its EXIF data")


def test_bad_coco_files(photos):
    files = coco_file(photos)
    with pytest.raises(InputError, match=r"no category 'chiar'.*did you mean 'chair'"):
        read_coco(**files | {"objects": ("chiar",)}, label="home")
    with pytest.raises(InputError, match=r"no column of .* 'hoem'"):
        read_coco(**files, label="hoem")
    with pytest.raises(InputError, match=r"data.labels must name a table"):
        read_coco(**files | {"labels": ""}, label="home")
    for labels, message in (
        (
            {"image_id": [9, 7, 9], "home": [1, 0, 1]},
            "scenes.csv: the image_id 9 occurs more than once, in rows 1 and 3",
        ),
        ({"image_id": ["a", "b"], "home": [1, 0]}, "no image_id of .*scenes.csv is an image of .*instances.json"),
        ({"image_id": [9, 7], "bed": [1, 0]}, "the column 'bed' of .* is called like an object"),
        ({"scene": [9, 7], "home": [1, 0]}, "no column of .*scenes.csv 'file_name'"),
    ):
        pd.DataFrame(labels).to_csv(files["labels"], index=False)
        with pytest.raises(InputError, match=message):
            read_coco(**files, label=list(labels)[1])
    coco_file(photos, {"id": 7, "file_name": "003.png"})
    with pytest.raises(InputError, match=r"instances.json: the image_id 7 occurs more than once, in rows 1 and 4"):
        read_coco(**files, label="home")
    files["path"].write_text('{"images": []}')
    with pytest.raises(InputError, match="is not a COCO file of instances"):
        read_coco(**files, label="home")


def test_ids_of_two_types_join():
    files = {"labels": CASES / "scenes.csv", "label": "home", "objects": ("chair", "bed")}
    examples = read_coco(CASES / "mixid.json", **files)
    assert len(examples) == 24 and examples.concepts.sum(0).tolist() == [9, 12]
    assert examples.notes == ("24 rows read, all used",)


def test_what_a_join_leaves_out_is_said(photos):
    files = coco_file(photos)
    assert read_coco(**files, label="home").notes == (
        "4 rows in scenes.csv, 1 left out: their image_id is that of no image of instances.json (the first: '100')",
        "3 rows read, all used",
    )
    text = files["path"].read_text()
    files["path"].write_text(text.replace('"image_id": 9', '"image_id": 90'))
    files["labels"].write_text("image_id;chair;home\n007;1;1\n8.0;0;0\n9;0;NA\n")
    examples = read_coco(**files, label="home", sep=";", na_values=("NA",))
    assert examples.ids.tolist() == [7, 8] and examples.slots == [("", "1 chair", "1 bed"), ("", "", "")]
    assert examples.notes == (
        "5 annotations in instances.json, 2 left out: their image_id is that of no image there (the first: 90)",
        "the columns chair of scenes.csv are not used: instances.json says which objects there are",
        "3 rows read, 2 used, 1 left out: 'home' is missing in row 3 (image_id 9)",
    )
    files["labels"].write_text("image_id,home\n8,1\n7,0\n")
    notes = read_coco(**files, label="home", num_examples=1).notes
    assert notes[1:] == (
        "3 images in instances.json, 1 left out: scenes.csv has no row of them",
        "2 rows, of which the first 1 are read (data.num_examples)",
        "1 rows read, all used",
    )
    for change, message in (
        (
            ('"category_id": 62', '"category_id": 63'),
            "an annotation of image 7 has the category_id 63, which is no category",
        ),
        (('"image_id": 7', '"image_id": null'), "an annotation of category_id 62 has the image_id None"),
        (('"image_id": ', '"image_id": 10'), "no annotation is of one of its images; the first is of image_id 107"),
        (('"id": 62', '"id": "01"'), "the id 1 occurs more than once, in rows 1 and 2, as 1 and '01'"),
    ):
        files["path"].write_text(text.replace(*change))
        with pytest.raises(InputError, match=f"instances.json: {message}"):
            read_coco(**files, label="home")
    files["path"].write_text(text)
    files["labels"].write_text("image_id,file_name,home\n7,001.png,1\n8,000.png,0\n")
    with pytest.raises(InputError, match=r"the image_id '7' has the file_name '001.png' there and '000.png' in"):
        read_coco(**files, label="home")


@pytest.fixture
def tfds_folder(photos):
    pytest.importorskip("tensorflow_datasets")
    from tests.data.tiny_photos import TinyPhotos

    os.environ.setdefault("TFDS_DATA_DIR", str(photos))
    TinyPhotos(data_dir=str(photos / "tfds"), file_format="array_record").download_and_prepare()
    return str(photos / "tfds")


def columns(example, info):
    names = info.features["objects"]["label"].names
    seen = [names[int(label)] for label in example["objects"]["label"]]
    return {"id": int(example["image/id"]), "home": int(example["home"]), "chair": seen.count("chair")}


def test_a_tfds_data_set_without_tensorflow(tfds_folder):
    examples = read_tfds("tiny_photos", data_dir=tfds_folder, mapping=columns, label="home")
    assert examples.slots == [("2 chair",), ("",), ("1 chair",)] and examples.ids.tolist() == [1, 2, 3]
    check_images(examples)
    plain = read_tfds("tiny_photos", data_dir=tfds_folder, label="home", concepts=("place", "main"), num_examples=2)
    assert plain.slots == [("garden", "chair"), ("kitchen", "bed")] and len(plain.images) == 2
    classes = read_tfds("tiny_photos", data_dir=tfds_folder, label="main", concepts=("place",))
    assert classes.labels.tolist() == [1, 0, 1]  # in the order of the data set's classes
    with pytest.raises(InputError, match=r"no feature 'picture' among image"):
        read_tfds("tiny_photos", data_dir=tfds_folder, image="picture", label="home")
    with pytest.raises(InputError, match=r"the mapping must return an example's columns, a dict, and returned 3"):
        read_tfds("tiny_photos", data_dir=tfds_folder, mapping=lambda example, info: 3, label="home")
    with pytest.raises(InputError, match=r"the TFDS data set none \(train\) cannot be read"):
        read_tfds("none", data_dir=tfds_folder, label="home")
    with pytest.raises(InputError, match=r"the TFDS data set tiny_photos \(test\) cannot be read"):
        read_tfds("tiny_photos", split="test", data_dir=tfds_folder, label="home")
    with pytest.raises(InputError, match="there is no module no_module"):
        read_tfds("tiny_photos", data_dir=tfds_folder, mapping="no_module:f", label="home")


def test_the_mapping_of_coco():
    label = types.SimpleNamespace(names=["chair", "zebra", "cell phone"])
    info = types.SimpleNamespace(features={"objects": {"label": label}})
    found = coco_objects({"image/id": 5, "objects": {"label": np.array([2, 1, 2])}}, info)
    assert found["image_id"] == 5 and found["cell phone"] == 1 and found["chair"] == 0 and "zebra" not in found
