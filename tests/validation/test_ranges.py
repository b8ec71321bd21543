"""Numbers that cannot be meant are refused in one sentence, in every record and every configuration."""

import dataclasses
import functools
import importlib
import math

import numpy as np
import pytest

from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.errors import InputError
from cpi_jax.settings import Checks, Compute, Output, Settings, Statistics
from cpi_jax.training.classifier import train_classifier
from cpi_jax.validation.ranges import RANGES, validate_config, whole

CONFIGS = {
    "configs.shapes": "full", "configs.train_generator": None, "configs.train_shapes_classifier": "target",
    "configs.depict_coco": "coco", "configs.finetune_sd": "table", "configs.detector": None, "configs.table": None,
    "benchmarks.shortcut.config": "full", "benchmarks.shortcut.train_classifier": "biased",
    "benchmarks.recovery.config": "full", "benchmarks.recovery.train_config": None,
}  # fmt: skip
# A share of the rows in some, a number of examples in others: their programs check it.
ELSEWHERE = {"held_out"}


def make(record, **fields):
    """A record, past the type checker of the tests."""
    made = object.__new__(record)
    for field in dataclasses.fields(record):
        default = field.default_factory() if field.default is dataclasses.MISSING else field.default
        object.__setattr__(made, field.name, fields.get(field.name, default))
    made.__post_init__()
    return made


def refused(record, **fields):
    parts = (Settings, Statistics, Checks, Compute, Output)
    if record is Settings:  # or the part of it that has the field
        record = next(part for part in parts if set(fields) <= {field.name for field in dataclasses.fields(part)})
    with pytest.raises(InputError) as caught:
        make(record, **fields)
    return str(caught.value)


def test_what_a_field_can_hold_is_said():
    assert refused(Settings, draws=np.True_) == "draws must be a number, not True"
    cases = {
        "seed must be at most 2,147,483,647, not 99999999999999999999": {"seed": 99999999999999999999},
        "seed must be at least 0, not -1": {"seed": -1},
        "draws must be at most 10,000, not 1e+20": {"draws": 1e20},
        "draws must be a number, not True": {"draws": True},
        "draws must be a number, not None": {"draws": None},
        "draws must be a number, not (3+0j)": {"draws": 3 + 0j},
        "draws must be a whole number, not 1.5": {"draws": np.float32(1.5)},
        "draws must lie between 1 and 10,000, not nan": {"draws": math.nan},
        "unit_size must be at most 65,536, not 1000000000000": {"unit_size": 10**12},
        "batch_size must be at most 65,536, not 100000000": {"batch_size": 10**8},
        "level must lie between 0 and 1 and be neither, not 1": {"level": 1},
        "level must lie between 0 and 1, not nan": {"level": np.nan},
        "leak_margin must lie between 0 and 1, not 95": {"leak_margin": 95},
        "max_minutes must be at most 10,000,000, not inf": {"max_minutes": math.inf},
        "stop_width must be at least 0, not -0.5": {"stop_width": -0.5},
        "profile must be True or False, not 1": {"profile": 1},
        "separator must be text, not None": {"separator": None},
        "concepts must hold names, not 1": {"concepts": (1, 2)},
        "groups must be tuples: (('a', 'b'),)": {"groups": ("a", "b")},
        "there is no kind of figures 'gif' among png, svg, pdf": {"figures": "gif"},
    }  # fmt: skip
    for message, fields in cases.items():
        assert refused(Settings, **fields) == message
    assert "1 is no guidance" in refused(SamplerSettings, guidance_scale=-0.0)
    assert refused(SamplerSettings, steps=0) == "sampler.steps must be at least 1, not 0"
    for levels in (0.5, (1.0,), (2.0, 1.0), (0.1, math.nan), ("a", "b")):
        assert refused(SamplerSettings, guidance_interval=levels).startswith(
            ("sampler.guidance_interval must be two", "each of sampler.guidance_interval must")
        )


def test_numbers_of_numpy_and_a_negative_zero_are_kept_as_python_has_them():
    made = make(Statistics, num_bootstrap=np.int64(3), level=np.float32(0.5), stop_width=-0.0)
    values = (made.num_bootstrap, made.level, made.stop_width, make(Compute, max_minutes=2).max_minutes)
    assert values == (3, 0.5, 0.0, 2.0) and [type(x) for x in values] == [int, float, float, float]
    assert math.copysign(1, made.stop_width) == 1
    assert whole(0, 5).validate("x", 2.0) == 2
    lists = make(Settings, concepts=["a"], groups=[["a", "b"]], interactions=["all"])
    assert (lists.concepts, lists.groups, lists.interactions) == (("a",), (("a", "b"),), ("all",))


def configs():
    for name, argument in CONFIGS.items():
        module = importlib.import_module(name)
        yield name, module.get_config(*([argument] if argument else []))


def leaves(config, prefix=""):
    for key, value in config.items():
        if hasattr(value, "items"):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_every_number_of_every_configuration_has_a_range():
    for name, config in configs():
        validate_config(config)  # as it comes
        numbers = [field for field, value in leaves(config) if type(value) in (int, float)]
        assert numbers, name
        for field in numbers:
            if field.split(".")[-1] in ELSEWHERE:
                continue
            for wrong in (-1e30, 1e30, math.nan, math.inf, True, "x", None):
                changed = config.to_dict()
                *folders, last = field.split(".")
                functools.reduce(dict.get, folders, changed)[last] = wrong
                with pytest.raises(InputError, match=f"--config.{field} must"):
                    validate_config(changed)


def test_widths_that_no_network_has_are_refused():
    for widths, reason in {
        (8, 4): "at least 8, not 4",
        (12,): "a multiple of 8, not 12",
        (8.5,): "a whole number",
    }.items():
        with pytest.raises(InputError, match=f"--config.train.channels must be {reason}"):
            validate_config({"train": {"channels": widths}})
    few = {"name": "x", "num_steps": 1, "batch_size": 1, "learning_rate": 1e-3, "seed": 0, "workdir": ""}
    for widths, reason in {(): "at least one stage", (12,): "channels must be a multiple of 8, not 12"}.items():
        with pytest.raises(InputError, match=reason):
            train_classifier(np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 1)), channels=widths, **few)


def test_numbers_of_records_stand_in_the_table():
    for record in (Settings, SamplerSettings):
        for field in dataclasses.fields(record):
            if type(field.default) in (int, float):
                allowed = RANGES[field.name]
                assert allowed.whole == isinstance(field.default, int), field.name
                assert allowed.low <= field.default <= allowed.high
