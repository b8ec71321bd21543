"""A user's function as a source of data: its fields, and what is refused."""

import numpy as np
import pytest

from cpi_jax.cli.config import data_config
from cpi_jax.data.sources import REQUIRED, read_source, source_fields
from cpi_jax.errors import InputError
from tests.painter import scenes

NUMBER = 3


def painted(count=4, seed=0, *rest, **others):
    assert not rest and not others
    return scenes(count, seed)


def labelled(path, *, label="y", **columns):
    return path, label, columns


def given(path):
    return [path]


def by_place(path, /):
    return scenes(path)


def about(source="web"):
    return scenes(4)


def test_the_parameters_of_a_function_are_the_fields():
    here = __name__
    assert source_fields(f"{here}:painted") == {"count": 4, "seed": 0}
    config = data_config(f"{here}:painted", count=6).to_dict()
    examples = read_source(config.pop("source"), config)
    np.testing.assert_array_equal(examples.concepts, scenes(6).concepts)
    fields = source_fields(f"{here}:labelled")
    assert list(fields)[:2] == ["path", "label"] and fields["label"] == "y" and fields["path"] is REQUIRED
    assert {"concepts", "columns", "phrases", "na_values"} < set(fields) and not {"frame", "images"} & set(fields)


@pytest.mark.parametrize(
    ("source", "fields", "message"),
    [
        ("table", {}, "--config.data.path must name the data's path"),
        ("tables", {}, "there is no source of data 'tables' among shapes, table"),
        (f"{__name__}:NUMBER", {}, "NUMBER is a int, and a function is needed"),
        (f"{__name__}:gone", {}, "there is no name in .* 'gone'"),
        (f"{__name__}:given", {"path": ""}, "--config.data.path must name the data's path"),
        (f"{__name__}:given", {"path": "a"}, "given returned a list, and a source must return cpi_jax.Examples"),
        (
            f"{__name__}:painted",
            {"cuont": 3},
            r"painted has no field 'cuont'; did you mean 'count'\? \(it has count, seed\)",
        ),
        (f"{__name__}:by_place", {}, "by_place has a parameter 'path' that no field of a configuration can be"),
        (f"{__name__}:about", {}, "about has a parameter 'source' that no field of a configuration can be"),
        ("builtins:dict", {}, "the parameters of builtins:dict are not known: name a Python function"),
    ],
)
def test_what_is_no_source_is_refused(source, fields, message):
    with pytest.raises(InputError, match=message):
        read_source(source, fields)
