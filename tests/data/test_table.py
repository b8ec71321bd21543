from pathlib import Path

import numpy as np
import pandas as pd
import pytest

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
    assert len(examples) == 7 and examples.slot_names == ("dog", "bed")
    assert {text for row in examples.slots for text in row} == {"", "a dog in view", "a bed in view"}


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
    with pytest.raises(InputError, match="row 2, column 'bed' holds 3, not 0 or 1"):
        read_table(write(tmp_path, bed=[1, 3, 0]), label="home")
    with pytest.raises(InputError, match="row 3, column 'home' holds 'yes'"):
        read_table(write(tmp_path, home=["0", "1", "yes"]), label="home")
    with pytest.raises(InputError, match="the image_id 1 occurs more than once, last in row 3"):
        read_table(write(tmp_path, image_id=[1, 2, 1]), label="home")
    with pytest.raises(InputError, match="no column to the right of the label 'bed'"):
        read_table(write(tmp_path), label="bed")
