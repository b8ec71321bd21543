import numpy as np
import pandas as pd
import pytest

from cpi_jax.data.columns import make_examples
from cpi_jax.errors import InputError

FRAME = pd.DataFrame(
    {
        "patient": ["p1", "p1", "p2", "p3"],
        "sick": [0, 1, 1, 0],
        "tube": [1, 0, 1, 0],
        "dogs": [0, 2, 3, 1],
        "age": [39.5, 40.0, np.nan, 80.0],
        "ground": ["grass", "brick", None, "grass"],
    }
)


def read(frame=FRAME, **kwargs):
    kwargs = {"label": "sick", "concepts": ("tube", "dogs", "age", "ground"), "bins": {"age": (40, 60)}} | kwargs
    return make_examples(frame, **kwargs)


def slot(examples, name):
    return [row[examples.slot_names.index(name)] for row in examples.slots]


def asked(examples, name):
    return examples.concepts[:, examples.concept_names.index(name)].tolist()


def test_each_kind_of_column_is_said_in_its_way():
    examples = read(columns=("patient",))
    assert slot(examples, "tube") == ["1 tube", "", "1 tube", ""]
    assert slot(examples, "dogs") == ["", "2 dogs", "3 dogs", "1 dogs"]
    assert slot(examples, "age") == [
        "age under 40",
        "age 40 to 60",
        "",
        "age 60 or more",
    ]  # a range holds its lower border
    assert slot(examples, "ground") == ["grass", "brick", "", "grass"]
    assert examples.ids.tolist() == [0, 1, 2, 3] and examples.columns["patient"].tolist() == ["p1", "p1", "p2", "p3"]


def test_a_detector_is_asked_for_presence_or_for_each_content():
    examples = read()
    assert examples.concept_names == (
        "tube", "dogs", "age: age under 40", "age: age 40 to 60", "age: age 60 or more", "ground: brick", "ground: grass",
    )  # fmt: skip
    assert asked(examples, "tube") == [1, 0, 1, 0]
    assert asked(examples, "dogs") == [0, 1, 1, 1]  # counts: whether there is any
    assert asked(examples, "ground: grass") == [1, 0, 0, 1]
    assert asked(examples, "age: age 60 or more") == [0, 0, 0, 1]
    assert [examples.slot_names[k] for k in examples.concept_slots][-1] == "ground"


def test_phrases_of_the_user():
    examples = read(
        phrase="there is a {name}",
        phrases={"dogs": "{value} hounds", "age": "{value} years", "ground": {"grass": "on a meadow", "brick": ""}},
    )
    assert slot(examples, "tube") == ["there is a tube", "", "there is a tube", ""]
    assert slot(examples, "dogs")[1] == "2 hounds" and slot(examples, "age")[0] == "under 40 years"
    assert slot(examples, "ground") == ["on a meadow", "", "", "on a meadow"]
    assert slot(read(phrases={"tube": "a chest tube"}), "tube") == ["a chest tube", "", "a chest tube", ""]
    assert asked(examples, "ground") == [1, 0, 0, 1]  # one content is left: its presence


def test_codes_of_numbers_can_have_texts():
    frame = FRAME.assign(edema=[1.0, -1.0, np.nan, 0.0])
    examples = read(frame, concepts=("edema",), phrases={"edema": {"1": "edema", "0": "", "-1": ""}}, bins={})
    assert slot(examples, "edema") == ["edema", "", "", ""]


def test_numbers_are_said_in_full():
    frame = FRAME.assign(code=[1000001, 1000002, 1000001, 5], income=[10.0, 2e6, 1.5e6, 0.25])
    phrases = {"code": {1000001: "one", 1000002: "two", 5: ""}}
    examples = read(frame, concepts=("code", "income"), phrases=phrases, bins={"income": (0.5, 1_000_000)})
    assert slot(examples, "code") == ["one", "two", "one", ""]
    assert slot(examples, "income")[:2] == ["income 0.5 to 1000000", "income 1000000 or more"]


def test_classes_and_several_labels():
    frame = FRAME.assign(scene=["home", "hotel", "street", "home"])
    assert read(frame, label="scene", classes=("home", "hotel", "street")).labels.tolist() == [0, 1, 2, 0]
    assert read(frame, label=("sick", "tube"), concepts=("dogs",)).labels.tolist() == [[0, 1], [1, 0], [1, 1], [0, 0]]
    assert read(FRAME.assign(sick=[0.0, 1.0, 1.0, 0.0]), classes=("0", "1")).labels.tolist() == [0, 1, 1, 0]
    assert read(FRAME.assign(sick=[0, 3, 1, 2])).labels.tolist() == [0, 3, 1, 2]


BAD = [
    ({"frame": FRAME.assign(sick=["no", "yes", "no", "ill"])}, "row 1, column 'sick' holds 'no', not 0 or 1"),
    ({"label": "ground", "classes": ("grass", "sand"), "concepts": ("tube",)}, "row 2, .*holds 'brick', not one of"),
    ({"frame": FRAME.assign(dogs=[0, -1, 2, 1])}, "row 2, column 'dogs' holds -1, not 0, 1 or a count"),
    ({"frame": FRAME.assign(dogs=[0, 1.5, 2, 1])}, "row 2, column 'dogs' holds 1.5.*give other numbers bins"),
    ({"frame": FRAME.assign(dogs=[0, np.nan, 2, 1])}, "row 2, column 'dogs' holds nothing, which is not 0"),
    ({"frame": FRAME.assign(age=["old", 1, 2, 3])}, "row 1, column 'age' holds 'old', not a number"),
    ({"bins": {"age": (60, 40)}}, "rising borders"),
    ({"id": "patient"}, "the patient 'p1' occurs more than once, in rows 1 and 2"),
    ({"phrase": "a thing"}, "says the same of every concept"),
    ({"phrase": "a {thing}"}, "no other braces"),
    ({"phrases": {"ground": "a {name}"}}, "says the same of every content of 'ground'"),
    ({"phrases": {"ground": {"grass": "meadow"}}}, "'brick'"),
    ({"concepts": ("tube", "sick")}, "'sick' is a label and cannot be a concept"),
    ({"min_examples": 2}, r"'nothing' in column 'dogs' is too rare.*1 of 4 examples \(row 1\)"),
    ({"columns": ("hospital",)}, "no column 'hospital'"),
    ({"columns": ("ground",)}, "row 3, column 'ground' holds .*, not a content"),
    ({"frame": FRAME.assign(dogs=[0, np.inf, 2, 1])}, "row 2, column 'dogs' holds inf"),
    ({"frame": FRAME.assign(dogs=pd.to_datetime(["2020-01-01"] * 4))}, "'dogs' holds dates"),
    ({"bins": {"age": 40}}, "rising borders such as"),
    ({"label": "ground", "classes": ("grass", "grass"), "concepts": ("tube",)}, "names a class twice"),
    ({"words": {"dog": ("dog",)}}, "free text takes"),
    ({"frame": FRAME.assign(ground=None), "concepts": ("ground",)}, "say nothing in any row"),
    ({"frame": FRAME.head(0)}, "no rows"),
]  # fmt: skip


@pytest.mark.parametrize("change, message", BAD)
def test_what_cannot_be_read_is_named_with_its_row(change, message):
    with pytest.raises(InputError, match=message):
        read(**change)
