"""The command `cpi-jax`: the same programs by their names, configurations by theirs, and what is said of both."""

import re
import sys
from unittest import mock

import pytest

from cpi_jax.cli.config import base_config, data_config
from cpi_jax.cli.config_file import read_config_file
from cpi_jax.cli.console import main
from cpi_jax.cli.describe import arguments_help, describe_fields
from cpi_jax.cli.shipped import find_shipped, with_commands
from cpi_jax.data.sources import SOURCES
from cpi_jax.errors import InputError
from tests.launching import ROOT, console, launch

BEGINS = ("explain", "plan", "preview", "status", "report", "verify", "convert", "train-generator", "train-classifier")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_overview_names_every_command():
    done = console()
    assert done.out == console("--help").out and not done.err
    programs = {path.stem.replace("_", "-") for path in (ROOT / "launch").glob("*.py")}
    for name in {*BEGINS, *programs, "configs", "new"}:
        assert re.search(rf"^    {name} +\S", done.out, re.MULTILINE), name
    assert ".py " not in done.out.replace("my_study.py", "")


MISTAKES = {
    ("explian", "--config=shapes"): "there is no command 'explian' among plan, ",
    ("plan", "--config=shapse"): "--config: there is no config shapse; did you mean shapes?",
    ("plan", "--config=shapes:tinny"): "did you mean 'tiny'?",
    ("explain",): "name a configuration: cpi-jax explain --config=my_study.py; cpi-jax configs lists those",
    ("plan", "mine.py"): "name a configuration: cpi-jax plan --config=mine.py; ",
    ("explain", "--config=table"): "a study needs --config.data.path, --config.data.label, --config.generator.path and "
    "--config.target.path (or target.module), and they are empty: fill them in",
    ("report", "--workdir=."): "holds no study that cpi-jax explain has made",
    ("train-classifier", "--describe"): "name the configuration, too: --describe --config=NAME",
    ("status", "--workdir=.", "--describe"): "there is no flag --describe",
    ("configs", "tabel"): "did you mean 'table'?",
    ("new",): "write a configuration with cpi-jax new my_study.py --from=table",
    ("new", "mine.py", "--form=table"): "write a configuration with cpi-jax new my_study.py --from=table",
    ("new", "mine.py", "--from=tabel"): "there is no config 'tabel'",
    ("new", "mine.txt"): "a configuration is a Python file: name it mine.py",
}


@pytest.mark.parametrize("given", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_sentence(given, tmp_path):
    done = console(*given)
    assert done.code == 1 and not done.out and MISTAKES[given] in done.err
    assert [line[:7] for line in done.err.splitlines()] == ["error: "] and "launch/" not in done.err
    assert not [*tmp_path.iterdir()]


def test_a_configuration_is_found_by_its_name_from_anywhere():
    assert read_config_file("shapes:small").to_dict() == read_config_file(f"{ROOT}/configs/shapes.py:small").to_dict()
    listed = console("configs").out
    for name, file in find_shipped("configs").items():
        assert re.search(rf"^{name} +\S", listed, re.MULTILINE)
        assert file == ROOT / "configs" / f"{name}.py"
    assert "cpi-jax explain --config=shapes:tiny --workdir=" in console("configs", "shapes").out


def test_a_new_configuration_is_the_old_one_with_its_gaps_named(tmp_path):
    done = console("new", "mine.py", "--from=table")
    assert "cpi-jax plan --config=mine.py" in done.out
    text = (tmp_path / "mine.py").read_text()
    assert "cpi-jax explain --config=mine.py --workdir=runs/mine" in text and "launch/" not in text
    assert read_config_file("mine.py").to_dict() == read_config_file("table").to_dict()
    gaps = re.findall(r"^    config\.(\S+) = \"\"  # \S", text, re.MULTILINE)
    assert gaps == ["data.path", "data.label", "generator.path", "target.path"]
    for line in re.findall(r"^    # (config\..+)$", text, re.MULTILINE):
        exec(line, {"config": read_config_file("mine.py")})  # a field, and a value that it can have
    assert "    # config.data.image = " in text
    again = console("new", "mine.py", "--from=shapes")
    assert again.code == 1 and again.err == "error: mine.py is there already: choose another name\n"
    assert (tmp_path / "mine.py").read_text() == text
    for name in find_shipped("configs"):
        assert console("new", f"{name}.py", f"--from={name}").code == 0
        if name != "own":
            assert read_config_file(f"{name}.py").to_dict() == read_config_file(name).to_dict()
    assert "`cpi-jax train-generator --config=other.py" in console("new", "other.py", "--from=finetune_sd").out


def test_a_plan_is_explains_dry_run(tmp_path):
    with mock.patch("cpi_jax.cli.dry_run.describe_cost", lambda study: f"Images: {study.num_images}"):
        done = console("plan", "--config=shapes:tiny")
        same = launch("explain", "--config=shapes:tiny", "--workdir=runs/x", "--config.plan_only=True")
    assert done.code == 0 and done.out == same.out and "Images: " in done.out
    assert not [*tmp_path.iterdir()]


FOLDERS = {
    ("--config=shapes:small",): "runs/shapes-small",
    ("--config=a/mine.py",): "runs/mine",
    ("--config=own:module:function",): "runs/own-module-function",
    ("--config=shapes", "--workdir=x"): None,
    ("--config.draws=2",): None,
}


@pytest.mark.parametrize("given", FOLDERS, ids=" ".join)
def test_results_go_to_a_folder_of_the_configurations_name(given):
    with mock.patch("runpy.run_path", autospec=True) as run, mock.patch("sys.argv", ["cpi-jax", "explain", *given]):
        main()
        assert sys.argv[1:] == [*given, *[f"--workdir={FOLDERS[given]}"] * (FOLDERS[given] is not None)]
    assert run.call_args.args == (str(ROOT / "launch" / "explain.py"),)


def test_help_speaks_of_the_command():
    done = console("explain", "--help")
    assert done.code == 0 and "    cpi-jax explain --config=shapes --workdir=runs/shapes\n" in done.out
    assert "launch/" not in done.out and "configs/" not in done.out
    assert "python launch/explain.py --config=configs/shapes.py" in launch("explain", "--help").out


def test_every_field_of_a_study_is_described():
    """Of each source of data; a field without a sentence is missing one in a docstring."""
    for source in SOURCES:
        config = base_config()
        config.data = data_config(source)
        lines = re.sub(r"\n      ", " ", describe_fields(config)).splitlines()
        described = {line.partition(" ")[0]: line for line in lines[2:] if line}
        fields = {f"{name}.{key}" for name, section in config.items() if hasattr(section, "items") for key in section}
        fields |= {name for name, value in config.items() if not hasattr(value, "items")} | {"classifiers"}
        assert set(described) == fields
        assert not [line for line in described.values() if not re.search(r"\): \S", line)], source
    assert described["statistics.level"] == "statistics.level (0.95): of the intervals."
    assert described["data.split"] == "data.split ('train'): of it."
    assert console("explain", "--describe", "--config=shapes:small").out.count("\ndata.num_examples (100): N > 0;") == 1


def test_arguments_are_read_from_docstrings():
    def documented():
        """One.

        Args:
          first, second: of two
            lines.
          third: (a: b).
          **rest: of others.

        Raises:
          InputError: never.
        """

    assert arguments_help(documented) == {"first": "of two lines.", "second": "of two lines.", "third": "(a: b)."}


def test_texts_name_commands():
    assert with_commands("python launch/train_generator.py --config=configs/finetune_sd.py:folder") == (
        "cpi-jax train-generator --config=finetune_sd:folder"
    )
    assert with_commands("benchmarks/shortcut/config.py") == "benchmarks/shortcut/config.py"


def test_an_unknown_configuration_is_no_path():
    with pytest.raises(InputError, match="did you mean train_generator"):
        read_config_file("train-generator")
