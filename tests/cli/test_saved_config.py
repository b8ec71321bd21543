"""Folders of other versions: their configuration is read where it means the same, or refused in one sentence."""

import copy
import json
import re

import pytest

from cpi_jax.cli.config import base_config, data_config
from cpi_jax.cli.saved_config import read_config
from cpi_jax.errors import InputError

PREPROCESSING = {"resize": 0, "crop": 0, "mean": [], "std": [], "method": ""}
EMBEDDED = {"path": "embedded", "kind": "", "module": "", "kwargs": {}, "prompts": [], "classes": [], **PREPROCESSING}
EMBEDDED["probabilities"] = False
# As version 0.1.0 wrote it before fields were added and removed.
OLD = {
    "seed": 3, "draws": 1, "batch_size": 32, "unit_size": 128, "separator": ", ", "empty": "an empty scene",
    "control": "", "weights": "", "cluster": "", "subgroups": "", "max_values": 8, "num_shuffles": 25, "max_images": 0,
    "max_minutes": 0.0, "sampled_examples": 6, "keep_images": "", "profile": False, "concepts": ["red circle"],
    "groups": [["red circle", "blue circle"]], "interactions": [], "condition_on": [], "plan_only": False,
    "generator": {"path": "embedded", "lora": ""},
    "sampler": {"dtype": "float32", "guidance_interval": [], "guidance_scale": 1.0, "preset": "", "solver": "dpm_solver",
                "spacing": "", "steps": 1},
    "classifier": EMBEDDED, "detector": dict(EMBEDDED),
    "statistics": {"metrics": ["accuracy"], "num_bootstrap": 10, "level": 0.9, "interval": "jackknife",
                   "alternative": "greater", "stop_width": 0.0, "stop_top_k": 0, "stop_share_of_draws": 0.0},
    "checks": {"generation_margin": 0.03, "leak_margin": 0.02, "min_faithful": 0.95},
    "data": {"source": "shapes", "num_examples": 12, "seed": 0, "start": 0, "prevalence": 0.5, "correlation": 0.0,
             "weights": [3.0, 0.0, -1.8, 2.4, 0.0, 1.2], "bias": -2.4},
}  # fmt: skip


def read(folder, changes=(), without=()):
    """What is read of `OLD` with some fields, by their paths, changed, and others left out."""
    held = copy.deepcopy(OLD)
    for path, value in dict(changes).items():
        *sections, name = path.split(".")
        place = held
        for section in sections:
            place = place[section]
        place[name] = value
    for name in without:
        del held[name]
    (folder / "config.json").write_text(json.dumps(held))
    return read_config(folder)


def test_an_older_folder_is_read_with_what_is_new_at_its_default(tmp_path, caplog):
    config = read(tmp_path).to_dict()
    known = base_config().to_dict() | {"data": data_config("shapes").to_dict()}
    for name, value in known.items():
        assert name in config and (not isinstance(value, dict) or value.keys() == config[name].keys()), name
    assert (config["output"]["figures"], config["checks"]["allow_worse_than_chance"]) == ("png", False)
    assert (config["target"]["task"], config["target"]["output"]) == ("", "")
    assert (config["seed"], config["checks"]["leak_margin"], config["data"]["num_examples"]) == (3, 0.02, 12)
    assert config["groups"] == (("red circle", "blue circle"),) and config["statistics"]["metrics"] == ("accuracy",)
    said = f"{tmp_path} was made by another version of cpi_jax: checks.min_faithful in its config.json is left out"
    assert caplog.messages == [said]
    caplog.clear()
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_config(tmp_path).to_dict() == config and not caplog.messages
    words = {"a.b c": ["a.b", "c"]}
    free = data_config("table", path="x.csv", caption="text", words=words).to_dict()
    held = read(tmp_path, {"data": free, "detector.kwargs": {"width": 3}})
    assert held.data.words.to_dict() == {"a.b c": ("a.b", "c")} and held.detector.kwargs.to_dict() == {"width": 3}


OTHERS = {
    "its config.json lacks 'target'; report it with that version": ((), ["classifier"]),
    "data.positive in its config.json is not known here; report": ({"data.positive": "yes"}, ()),
    "target.softmax in its config.json is not known here": ({"classifier.softmax": True}, ()),
    "there is no source of data 'shape' among": ({"data.source": "shape"}, ()),
    "there is no source of data '5' among": ({"data.source": 5}, ()),
    "checks must hold fields, not 3": ({"checks": 3}, ()),
    "target.path must be text, not 5": ({"classifier.path": 5}, ()),
    "generator.lora must be text, not None": ({"generator.lora": None}, ()),
}


@pytest.mark.parametrize("message", OTHERS)
def test_what_cannot_be_read_as_it_was_meant_is_refused(tmp_path, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read(tmp_path, *OTHERS[message])


def test_fields_that_are_off_and_unknown_say_nothing(tmp_path, caplog):
    read(tmp_path, {"data.positive": "", "classifier.softmax": False, "checks.min_faithful": 0})
    assert not caplog.messages


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "is damaged"),
        ("[1]", "is damaged (it holds [1])"),
        ("{}", "holds no study"),
        ("", "is damaged (Expecting"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=re.escape(message)):
        read_config(tmp_path)
