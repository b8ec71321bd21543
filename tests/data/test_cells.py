"""Columns that are half one thing, half another: read rightly, or refused by the cell's name."""

import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cpi_jax.data.columns import make_examples
from cpi_jax.data.table import read_table
from cpi_jax.errors import InputError

CASES = Path(__file__).parent / "cases"
GRASS = ["grass", "sand", "grass", "sand"]


def read(cells, **kwargs):
    """Examples of one concept, `bed`, whose column holds these cells."""
    frame = pd.DataFrame({"id": [11, 12, 13, 14], "home": [0, 1, 0, 1], "bed": pd.Series(cells, dtype=object)})
    return make_examples(frame, **{"label": "home"} | kwargs)


def said(examples):
    return [row[0] for row in examples.slots]


def test_not_available_among_zeros_and_ones():
    case = {"path": CASES / "na.csv", "label": "home", "concepts": ("bed", "dog")}
    with pytest.raises(InputError, match=r"row 6 \(image_id 6\), column 'bed' holds 'NA' among numbers such as '0'"):
        read_table(**case)
    examples = read_table(**case, na_values=("NA",))
    assert examples.ids.tolist() == [n for n in range(1, 25) if n != 6]
    assert set(said(examples)) == {"", "1 bed"} and examples.concepts.sum(0).tolist() == [9, 15]
    assert examples.notes == ("24 rows read, 23 used, 1 left out: 'bed' is missing in row 6 (image_id 6)",)


@pytest.mark.parametrize(
    "cells, expected",
    [
        ([" Yes", "no", "NO ", "yes"], "10 01"),
        (["TRUE", "false", "True", "False"], "10 10"),
        (["T", "f", "t", "F"], "10 10"),
        (["y", "N", "n", "Y"], "10 01"),
        ([True, False, np.True_, False], "10 10"),
        (["1", "1.0", "0", "0.0"], "11 00"),
        (["1", 1, 0, Decimal("0.0")], "11 00"),
        (["1e0", "0", "-0", "+1"], "10 01"),
    ],
)
def test_presence_as_people_write_it(cells, expected):
    present = [int(c) for c in expected.replace(" ", "")]
    assert said(read(cells)) == ["1 bed" if p else "" for p in present]
    labels = make_examples(
        pd.DataFrame({"home": pd.Series(cells, dtype=object), "a": [0, 1, 0, 1]}), label="home"
    ).labels
    assert labels.tolist() == present


@pytest.mark.parametrize(
    "cells, message",
    [
        (["0", "1", "O", "1"], "'O' among numbers such as '0'"),
        ([0, 1, "nan", 1], "'nan' among numbers"),
        (["0", "1", "1", "NULL"], "'NULL' among numbers"),
        (["1", "2", "three", "2"], "'three' among numbers such as '1'"),
        (["three", "four", "5", "four"], "'5' among texts such as 'three'"),
        ([2, 1, True, 0], "True among numbers"),
        (["yes", "no", "1", "no"], "'1' among yes and no"),
        (["yes", "no", "no", "maybe"], "'maybe' among yes and no such as 'yes'"),
        (["s\u00ed", "no", "s\u00ed", "s\u00ed"], "'no' among texts"),
        (["T", "F", "A", "T"], "'A' among yes and no"),
        (["1,5", "2,5", "1,5", "2,5"], "'1,5': write numbers as 1.5 and 1000"),
        (["2", "3", "1,000", "2"], "'1,000' among numbers"),
        (["1 000", "2 000", "1 000", "2 000"], "'1 000': write numbers as"),
        (["1", "02", "1", "02"], "'02', not 0, 1 or a count"),
        (["inf", "1", "2", "3"], "'inf', not 0, 1 or a count"),
        (["0", "1", "", "1"], r"nothing, which is not 0 or no: .*data.na_values=\(''"),
        ([True, None, True, False], "nothing, which is not 0 or no"),
        (["grass", "NA", "sand", "grass"], "'NA', which a caption cannot say"),
        (["grass", "?", "sand", "grass"], r"'\?', which a caption cannot say"),
        ([{"a": 1}, {}, {}, {}], r"\{'a': 1\}, a dict"),
        (["['a', 'b']", "[]", "['a']", "[]"], "\"\\['a', 'b'\\]\", a list or a dict written out"),
        ([1, 0, [1], 0], r"\[1\], a list"),
        ([b"a", b"b", b"a", b"b"], "b'a', a bytes"),
        ([datetime.date(2020, 1, 1), "a", "b", "a"], r"datetime.date\(2020, 1, 1\) among texts"),
    ],
)
def test_half_and_half_is_refused_by_the_cells_name(cells, message):
    with pytest.raises(InputError, match=r"^row [1-4] \(id 1[1-4]\), column 'bed' holds " + message):
        read(cells)


def test_what_only_looks_mixed():
    assert said(read(["M", "F", "M", "F"])) == ["M", "F", "M", "F"]  # F is no "false" beside M
    assert said(read(["grass", "", None, np.nan])) == ["grass", "", "", ""]
    assert said(read(["hot  dog", "hot\u00a0dog", "cafe\u0301", "caf\u00e9"])) == ["hot dog"] * 2 + ["caf\u00e9"] * 2
    codes = {
        "bed": {"01": "one", "2": "two", "NA": "", "yes": "a bed"}
    }  # each content has its text: nothing is guessed
    assert said(read(["01", "NA", "yes", 2.0], phrases=codes)) == ["one", "", "a bed", "two"]
    assert said(read(["07", "", "12", 3], bins={"bed": (5,)})) == ["bed 5 or more", "", "bed 5 or more", "bed under 5"]
    with pytest.raises(InputError, match="holds 'inf', not a number that a range"):
        read(["inf", "", "12", 3], bins={"bed": (5,)})


def test_missing_cells_leave_texts_silent_and_other_rows_out():
    assert said(read(["grass", "NA", "sand", "NA"], na_values="NA")) == ["grass", "", "sand", ""]
    examples = read([1, -1, None, 0], na_values=(-1, ""), columns=("id",))
    assert examples.ids.tolist() == [11, 14] and examples.columns["id"].tolist() == [11, 14]
    assert examples.notes == ("4 rows read, 2 used, 2 left out: 'bed' is missing in 2 rows, the first row 2 (id 12)",)
    with pytest.raises(InputError, match="no row is left without a missing cell: 'home' is missing in 4 rows"):
        read([1, 0, 1, 0], na_values=(0, 1))


def test_texts_that_may_not_be_meant_are_noted():
    (_, none, case) = read(["none", "Grass", "grass", "none"]).notes
    assert none.startswith("column 'bed' holds 'none' (rows: 2), kept as a text") and "'Grass' and 'grass'" in case
    assert read(["present", "absent"] * 2).notes[1].startswith("captions say 'present' of 'bed' as it is; data.phrases")
    many = pd.DataFrame({"home": [0, 1] * 5, "dog": [0, 1] * 5, "remark": [f"remark {n}" for n in range(10)]})
    examples = make_examples(many, label="home")
    assert examples.slot_names == ("dog",)
    assert examples.notes[1] == (
        "column 'remark' is no concept, unless data.concepts names it: it holds 10 different texts of up to 2 words"
    )
    few = many.assign(remark=["a dog lies on grass", "a cat"] * 5)
    assert make_examples(few, label="home").notes[1].endswith("it holds 2 different texts of up to 5 words")
    named = make_examples(many, label="home", concepts=("remark",))
    assert named.slot_names == ("remark",) and named.notes[1].startswith(
        "remark has 10 contents: a detector is asked for"
    )
    with pytest.raises(InputError, match=r"no column to the right of the label 'dog' \(column 'remark' is no concept"):
        make_examples(many, label="dog")


def kept(cells):
    frame = pd.DataFrame({"home": [0, 1, 0, 1], "bed": [1, 0, 1, 0], "p": pd.Series(cells, dtype=object)})
    return make_examples(frame, label="home", columns=("p",)).columns["p"]


def test_columns_beside_the_captions():
    assert kept(["1.5", "2", "0.1", "1"]).tolist() == [1.5, 2, 0.1, 1]
    assert kept(["9007199254740993", "2", "3", "4"]).tolist() == [9007199254740993, 2, 3, 4]
    assert kept(["12", "A7", " 13", "A8"]).tolist() == ["12", "A7", "13", "A8"]
    assert kept(["007", "08", "1", "2"]).tolist() == ["007", "08", "1", "2"]  # codes
    for cells, message in (
        ([1, "1", 2, 3], "row 2, column 'p' holds '1' among numbers"),
        (["12", "NA", "13", "14"], r"row 2, column 'p' holds 'NA' among numbers: data.na_values=\('NA',\)"),
        (["007", "7", "08", "8"], "row 2, column 'p' holds '7' and '007' elsewhere, the same number"),
        ([[1], [1], [2], [2]], r"row 1, column 'p' holds \[1\], a list"),
    ):
        with pytest.raises(InputError, match=message):
            kept(cells)


def test_labels_of_two_kinds():
    frame = pd.DataFrame({"bed": [1, 0, 1, 0]})
    for cells, message in (
        (
            ["0", "1", "NA", "1"],
            r"row 3, column 'home' holds 'NA', not 0 or 1.*data.na_values=\('NA',\) leaves such rows",
        ),
        (["0", "1", "yes", "1"], "row 3, column 'home' holds 'yes', not 0 or 1"),
        ([True, 1, 0, 2], "row 1, column 'home' holds True, not 0 or 1"),
        (["0", "1", "", "1"], "row 3, column 'home' holds nothing, not 0 or 1"),
    ):
        with pytest.raises(InputError, match=message):
            make_examples(frame.assign(home=pd.Series(cells, dtype=object)), label="home", concepts=("bed",))
    for cells, classes in (
        (["01", "02", "01", "02"], ("01", "02")),
        ([False, True] * 2, (False, True)),
        (["1.0", 2] * 2, (1, 2)),
    ):
        examples = make_examples(frame.assign(home=cells), label="home", concepts=("bed",), classes=classes)
        assert examples.labels.tolist() == [0, 1, 0, 1]


def ids(cells):
    return make_examples(pd.DataFrame({"id": pd.Series(cells), "home": [0, 1, 0], "bed": [1, 0, 1]}), label="home").ids


def test_ids_keep_their_value_whatever_their_type():
    assert ids(["1", 2, 3.0]).tolist() == [1, 2, 3] and ids(["1.0", "2.0", "3"]).tolist() == [1, 2, 3]
    assert ids(["9007199254740993", "9007199254740992", "1"]).tolist() == [9007199254740993, 9007199254740992, 1]
    assert ids([2**64 - 1, 1, 2]).tolist() == [2**64 - 1, 1, 2]
    assert ids([str(2**70), "1", "2"]).tolist() == [str(2**70), "1", "2"]
    assert ids(["01", "02", "10"]).tolist() == ["01", "02", "10"]
    for cells, message in (
        (["01", "2", "1"], "the id 1 occurs more than once, in rows 1 and 3, as '01' and '1'"),
        ([1, "2", "1"], "the id 1 occurs more than once, in rows 1 and 3, as 1 and '1'"),
        ([1.0, np.nan, 3.0], "row 2, column 'id' holds nothing, not an id"),
        ([1.0, 2.0**53, 3.0], "row 2, column 'id': .* cannot hold an id of that size exactly"),
        ([[1], [2], [3]], r"row 1, column 'id': \[1\] is a list, not an id"),
    ):
        with pytest.raises(InputError, match=message):
            ids(cells)
