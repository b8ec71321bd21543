from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from configs.mimic_cxr import FINDINGS, get_config
from cpi_jax.cli.from_config import examples_from_config
from cpi_jax.data.table import read_table
from cpi_jax.errors import InputError

HERE = Path(__file__).parent
DEPICT = HERE.parents[2] / "shared" / "data" / "depict_coco_captions.csv"


def test_captions_name_the_concepts_that_are_present():
    examples = read_table(HERE / "captions.csv", label="home")
    table = pd.read_csv(HERE / "captions.csv", keep_default_na=False)
    assert examples.slot_names == ("person", "chair", "couch", "bed", "tv", "book", "car", "dog")
    assert [", ".join(text for text in slots if text) for slots in examples.slots] == table.text.tolist()
    np.testing.assert_array_equal(examples.labels, table.home)
    np.testing.assert_array_equal(examples.ids, table.image_id)
    np.testing.assert_array_equal(examples.concepts[:, 3], table.bed)
    assert examples.images is None


def test_some_columns_rows_and_another_phrase():
    examples = read_table(
        HERE / "captions.csv", label="home", concepts=("dog", "bed"), phrase="a {} in view", num_examples=7
    )
    assert examples.notes == ("60 rows, of which the first 7 are read (data.num_examples)", "7 rows read, all used")
    assert len(examples) == 7 and examples.slot_names == ("dog", "bed")
    assert {text for row in examples.slots for text in row} == {"", "a dog in view", "a bed in view"}


def test_images_that_are_there_and_not_read_are_named(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    table = write(tmp_path, file=["a.png"] * 3, other=["b.png"] * 3)
    note = "column 'file' names images, which are not read: data.image='file' reads them"
    assert read_table(table, label="home", concepts=("bed",)).notes[0] == note
    read = read_table(table, label="home", concepts=("bed",), image="file")
    elsewhere = read_table(table, label="home", concepts=("bed",), image_root=tmp_path / "none")
    assert not any("which are not read" in text for text in (*read.notes, *elsewhere.notes))


@pytest.mark.skipif(not DEPICT.exists(), reason="DEPICT's captions are not here")
def test_depicts_published_file_as_it_is():
    examples = read_table(DEPICT, label="home or hotel")
    assert len(examples) == 623 and len(examples.slot_names) == 15
    assert examples.slots[0] == (*[""] * 8, "1 tv", *[""] * 5, "1 book")


def write(tmp_path, **columns):
    base = {"image_id": [1, 2, 3], "home": [0, 1, 1], "bed": [1, 0, 1]}
    pd.DataFrame(base | columns).to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match="there is no table at"):
        read_table(tmp_path / "none.csv", label="home")
    with pytest.raises(InputError, match=r"no column 'hoem'.*did you mean 'home'"):
        read_table(write(tmp_path), label="hoem")
    with pytest.raises(InputError, match=r"row 2 \(image_id 2\), column 'bed' holds '1.5', not 0, 1 or a count"):
        read_table(write(tmp_path, bed=[1, 1.5, 0]), label="home")
    with pytest.raises(InputError, match=r"row 3 \(image_id 3\), column 'home' holds 'yes'"):
        read_table(write(tmp_path, home=["0", "1", "yes"]), label="home")
    with pytest.raises(InputError, match="the image_id 1 occurs more than once, in rows 1 and 3"):
        read_table(write(tmp_path, image_id=[1, 2, 1]), label="home")
    (tmp_path / "t.csv").write_text("image_id,home,bed\n1,0,1,\n2,1,0,\n")
    with pytest.raises(InputError, match="more fields than its header"):
        read_table(tmp_path / "t.csv", label="home")
    (tmp_path / "t.csv").write_text("image_id,home,bed,bed\n1,0,1,0\n2,1,0,0\n")
    for text, message in (
        ("image_id,home,bed\n1,0,1\n2,1\n", "line 3 of .* has fewer fields than its header \\(2 and 3\\)"),
        ("image_id;home;bed\n1;0;1\n", "the header of .* is one field, 'image_id;home;bed': say data.sep=';'"),
        ('image_id,home,bed\n1,0,"1\n', "line 2 of .* cannot be read as a table's: unexpected end of data"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(InputError, match=message):
            read_table(tmp_path / "bad.csv", label="home")
    with pytest.raises(InputError, match=r"data.sep must be one character"):
        read_table(tmp_path / "bad.csv", label="home", sep=";;")
    (tmp_path / "bad.csv").write_text("image_id\thome\tbed\n1\t0\tT\n2\t1\tF\n")
    assert read_table(tmp_path / "bad.csv", label="home", sep="\\t").slots == [("1 bed",), ("",)]
    with pytest.raises(InputError, match="two columns 'bed'"):
        read_table(tmp_path / "t.csv", label="home")
    with pytest.raises(InputError, match="no column to the right of the label 'bed'"):
        read_table(write(tmp_path), label="bed")


def test_other_encodings_are_named_with_their_row(tmp_path):
    text = "image_id,home,sofa\n1,0,café\n2,1,\n"
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2 of .*t.csv is not utf-8 text"):
        read_table(tmp_path / "t.csv", label="home")
    assert read_table(tmp_path / "t.csv", label="home", encoding="latin-1").slots == [("café",), ("",)]
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8-sig"))  # as spreadsheets save it
    assert read_table(tmp_path / "t.csv", label="home").ids.tolist() == [1, 2]


def test_what_is_right_of_the_label_and_no_concept(tmp_path):
    text = "home, bed,hospital,file,image_id,\n0,1,a,x.png,1,\n1,0,NA,x.png,2,\n"  # "NA" is a text like others
    (tmp_path / "t.csv").write_text(text)
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(tmp_path / "x.png")
    examples = read_table(tmp_path / "t.csv", label="home", image="file", columns=("hospital",))
    assert examples.slots == [("1 bed",), ("",)] and examples.columns["hospital"].tolist() == ["a", "NA"]


def test_parquet_and_images(tmp_path):
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(tmp_path / "a.png")
    frame = pd.DataFrame({"image_id": [1, 2], "file": ["a.png", "a.png"], "home": [0, 1], "bed": [1, 0]})
    frame.to_parquet(tmp_path / "t.parquet")
    examples = read_table(tmp_path / "t.parquet", label="home", image="file", image_size=4)
    assert (examples.images.read() == 7).all() and examples.images.read().shape == (2, 4, 4, 3)


def test_parquet_keeps_its_types(tmp_path):
    index = pd.Index([2**60 + 1, 5, 7], name="image_id")
    bed, patient = (pd.array([n, None, 0], dtype="Int64") for n in (1, 2**53 + 1))
    pd.DataFrame({"home": [0, 1, 0], "bed": bed, "patient": patient}, index=index).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"no column 'bath'"):
        read_table(tmp_path / "t.parquet", label="bath")
    with pytest.raises(InputError, match=r"row 2 \(image_id 5\), column 'bed' holds nothing"):
        read_table(tmp_path / "t.parquet", label="home", concepts=("bed",))
    examples = read_table(
        tmp_path / "t.parquet", label="home", concepts=("bed",), columns=("patient",), na_values=("",)
    )
    assert examples.ids.tolist() == [2**60 + 1, 7] and examples.columns["patient"].tolist() == [2**53 + 1, 0]
    assert examples.slots == [("1 bed",), ("",)]


def test_a_study_of_x_rays_from_a_made_up_table(tmp_path):
    """configs/mimic_cxr.py on a table shaped as MIMIC-CXR's: ranges, codes of findings, patients."""
    rng, n = np.random.default_rng(0), 200
    frame = pd.DataFrame(
        {
            "dicom_id": [f"{i:08x}-{i * 7:08x}" for i in range(n)],
            "subject_id": rng.integers(10_000_000, 10_000_080, n),
            "age": rng.integers(18, 95, n),
            "bmi": np.where(rng.random(n) < 0.2, np.nan, rng.normal(27, 5, n).round(1)),
            "sex": rng.choice(["M", "F"], n),
            **{name: rng.choice([1.0, 0.0, -1.0, np.nan], n) for name in FINDINGS},
            "Pneumonia": rng.integers(0, 2, n),
        }
    )
    frame.to_csv(tmp_path / "mimic.csv", index=False)
    config = get_config()
    config.data.path, config.data.label = str(tmp_path / "mimic.csv"), "Pneumonia"
    examples = examples_from_config(config)
    first, row = dict(zip(examples.slot_names, examples.slots[0])), frame.iloc[0]
    low = max((border for border in (0, 40, 60, 80) if border <= row.age), default=0)
    assert first["age"].startswith({0: "age under 40", 40: "age 40 to", 60: "age 60 to", 80: "age 80 or"}[low])
    assert first["sex"] == {"M": "male", "F": "female"}[row.sex]
    assert first["Edema"] == ("edema" if row.Edema == 1 else "")
    slots = [dict(zip(examples.slot_names, slots)) for slots in examples.slots]
    assert [bool(s["bmi"]) for s in slots] == frame.bmi.notna().tolist()
    assert {name for name in examples.concept_names if name.startswith("age")} == {
        "age: age under 40", "age: age 40 to 60", "age: age 60 to 80", "age: age 80 or more",
    }  # fmt: skip
    assert "Fracture" in examples.concept_names and config.statistics.cluster == "subject_id" in examples.columns
