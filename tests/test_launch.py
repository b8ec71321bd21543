"""The command line: mistakes end in one sentence, exit code 1 and no traceback, before any image is made."""

import os
import re
import subprocess
import sys

import pytest

from cpi_jax.store.status import status
from tests.launching import ROOT, launch
from tests.mini import write_mini
from tests.words import WORDS

CONFIG = "--config=configs/shapes.py:tiny"
# What is said of what is given; {0} is an empty folder.
MISTAKES = {
    ("explain",): "--config and --workdir must be given",
    ("explain", CONFIG): "--workdir must be given",
    ("explain", "--workdir={0}/run"): "--config must be given",
    ("explain", "--workdir={0}/run", "--config.draws=2"): "--config must be given",
    ("status",): "--workdir must be given",
    ("local_workers",): "--workers must be given",
    ("local_workers", "--workers=2", CONFIG): "there is no flag --config; see --help; flags of launch/explain.py go",
    ("explain", CONFIG, "--workdir={0}/run", "--wrkdir=x"): "there is no flag --wrkdir; did you mean --workdir?",
    ("explain", CONFIG, "--workdir={0}/run", "more"): "'more' is no flag",
    ("explain", CONFIG, "--workdir={0}/run", "--config.data.num_exampels=3"): "did you mean 'num_examples'?",
    ("explain", CONFIG, "--workdir={0}/run", "--config.draws.x=3"): "the config has no field 'draws.x'",
    ("explain", CONFIG, "--workdir={0}/run", "--config.classifier.path=x"):
        "the config's field classifier.path is called target.path now",
    ("explain", CONFIG, "--workdir={0}/run", "--config.classifiers={'a': {}, 'detector': {}}"):
        "a classifier is called 'detector', as the detector is: give it another name",
    ("explain", CONFIG, "--workdir={0}/run", "--config.classifiers={'a': {}, 'a': {}}"):
        "--config.classifiers names 'a' twice: leave one out, or give it another name",
    ("explain", CONFIG, "--workdir={0}/run", "--config.classifiers={'a': {'pth': 'x'}}"):
        "there is no field of classifiers.a 'pth' among path, kind",
    ("explain", CONFIG, "--workdir={0}/run", "--config.classifiers={'a': 3}"): "classifiers.a must hold fields",
    ("explain", CONFIG, "--workdir={0}/run", "--config.target.path=", "--config.classifiers={'a': {}, 'b': {}}"):
        "--config.classifiers.a.path must name the classifier a, or --config.classifiers.a.module a function",
    ("explain", CONFIG, "--workdir={0}/run", "--config.batch_size=8"):
        "the config's field batch_size is called compute.batch_size now",
    ("explain", CONFIG, "--workdir={0}/run", "--config.weights=w"):
        "the config's field weights is called statistics.weights now",
    ("train_classifier", "--config=configs/detector.py", "--workdir={0}/run", "--config.batch_size=8"):
        "the config has no field 'batch_size'",
    ("explain", CONFIG, "--workdir={0}/run", "--config.draws=few"): "--config.draws: invalid literal for int()",
    ("explain", CONFIG, "--workdir={0}/run", "--config.generator.path=no/where"):
        "there is no checkpoint at no/where; a repository of the Hugging Face Hub is said as hub:no/where",
    ("explain", "--config=configs/shapes.py:tinny", "--workdir={0}/run"): "did you mean 'tiny'?",
    ("explain", "--config=configs/shape.py", "--workdir={0}/run"): "did you mean configs/shapes.py?",
    ("explain", "--config=shapes.py", "--workdir={0}/run"): "did you mean shapes?",
    ("explain", "--config=nothing", "--workdir={0}/run"): "there is no config nothing; cpi-jax configs lists those",
    ("explain", "--config=README.md", "--workdir={0}/run"): "there is no config README.md",
    ("explain", "--config=configs/table.py:x", "--workdir={0}/run"): "it takes no argument, and 'x' is given",
    ("explain", "--config=benchmarks/recovery/config.py", "--workdir={0}/run"):
        "config.py: it is another program's config and has no field 'data'",
    ("explain", "--config=benchmarks/shortcut/config.py", "--workdir={0}/run"): "a study has no field 'heat_maps'",
    ("train_classifier", CONFIG, "--workdir={0}/run"): "another program's config and has no field 'targets'",
    ("explain", "--config={0}/broken.py", "--workdir={0}/run"): "broken.py, line 2: NameError: name 'wrong' is not defined",
    ("explain", "--config={0}/none.py", "--workdir={0}/run"): "none.py: it has no function get_config()",
    ("explain", "--config={0}/unread.py", "--workdir={0}/run"): "unread.py, line 1: SyntaxError",
    ("explain", "--config=configs/folder.py", "--workdir={0}/run"): "a study needs --config.data.path, ",
    ("explain", "--config=configs/folder.py", "--workdir={0}/run", "--config.data.label=y", "--config.target.path=embedded",
     "--config.generator.path=embedded"): "--config.data.path must name the data's path",
    ("explain", "--config=configs/table.py", "--workdir={0}/run", "--config.data.label=y",
     "--config.data.path=s3://b/a.csv"):
        "--config.data.path: 's3://b/a.csv' is an address of 's3'",
    ("explain", "--config=configs/own.py", "--workdir={0}/run"): "name your function, as --config=own:",
    ("explain", "--config=configs/own.py:tests.painter:NOISE", "--workdir={0}/run"):
        "tests.painter:NOISE is a float, and a function is needed",
    ("explain", "--config=configs/own.py:tests.painter:says", "--workdir={0}/run"):
        "a study needs --config.data.token_ids, --config.generator.path and --config.target.path",
    ("explain", "--config=configs/own.py:tests.painter:painter", "--workdir={0}/run"):
        "tests.painter:painter returned a Generator, and a source must return cpi_jax.Examples",
    ("explain", "--config=configs/table.py", "--workdir={0}/run", "--config.data.source=tests.painter:painter"):
        "has no field 'bins' (it has leak): a config is made for one source; write --config=own:tests",
    ("explain", CONFIG, "--workdir="): "--workdir: the path is empty",
    ("explain", CONFIG, "--workdir=s3://bucket/run"): "--workdir: 's3://bucket/run' is an address of 's3'",
    ("explain", CONFIG, "--workdir={0}/file/run"): "is a file, and a folder is needed there",
    ("explain", CONFIG, os.fsdecode(b"--workdir=\xff")): "is not UTF-8",
    ("recovery", "--config=benchmarks/recovery/config.py", "--workdir=gs://bucket/run"): "cannot be used here",
    ("recovery", "--config=benchmarks/recovery/config.py", "--workdir={0}/run", "--page=gs://bucket"): "--page: 'gs://bucket'",
    ("report", "--workdir={0}/none"): "--workdir: there is no folder",
    ("choose_anchor", CONFIG, "--skips=a"): "--skips must be numbers with commas between them, not 'a'",
    ("choose_anchor", CONFIG, "--skips=0,99"): "99 are left out, so that none is taken",
    ("explain", CONFIG, "--workdir={0}/run", "--config.sampler.anchor=lance"): "sampler.anchor",
    ("explain", CONFIG, "--workdir={0}/run", "--config.sampler.skip=1"): "sampler.skip is of sampler.anchor",
    ("explain", CONFIG, "--workdir={0}/run", "--config.within_masks=True"):
        "within_masks is of images that are edits of real pictures: set sampler.anchor",
    ("draw_pairs", CONFIG, "--out={0}/pairs.txt"): "--out must name a table NAME.csv, not",
    ("draw_pairs", CONFIG, "--num=5", "--out={0}/pairs.csv"): "draw at least 10 and at most all",
    ("preview", CONFIG, "--out={0}/sheet.doc"): "there is no kind of picture '.doc'",
    ("preview", CONFIG, "--out={0}/file/sheet.png"): "is a file, and a folder is needed there",
}  # fmt: skip


@pytest.mark.parametrize("given", MISTAKES, ids=lambda given: ascii(" ".join(given)))
def test_a_mistake_is_one_sentence_before_any_work(tmp_path, monkeypatch, given):
    monkeypatch.chdir(ROOT)
    (tmp_path / "file").write_text("")
    (tmp_path / "broken.py").write_text("def get_config():\n    return wrong")
    (tmp_path / "none.py").write_text("")
    (tmp_path / "unread.py").write_text("(")
    program, *arguments = (word.replace("{0}", str(tmp_path)) for word in given)
    done = launch(program, *arguments)
    assert done.code == 1 and not done.out
    assert MISTAKES[given] in done.err
    assert [line[:7] for line in done.err.splitlines()] == ["error: "]
    assert not (tmp_path / "run").exists()


def test_the_embedded_generator_says_what_it_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "grass.csv").write_text("id,y,grass\n1,0,1\n2,1,0\n3,1,1\n4,0,0\n")
    study = [
        "--config=configs/table.py",
        f"--workdir={tmp_path / 'run'}",
        f"--config.data.path={tmp_path / 'grass.csv'}",
    ]
    parts = ["--config.data.label=y", "--config.generator.path=embedded", "--config.target.path=embedded"]
    (line,) = launch("explain", *study, *parts).err.splitlines()
    assert "does not have 'grass' in '1 grass': the words it has are ',', '1', 'a', 'an', 'blue', 'circle'," in line
    assert "The generator 'embedded' draws scenes of six shapes" in line and "docs/stable_diffusion.md" in line


@pytest.mark.parametrize("program", sorted(path.stem for path in (ROOT / "launch").glob("*.py")))
def test_help_says_how_a_program_is_started_and_each_of_its_flags(program):
    done = launch(program, "--help")
    assert f"python launch/{program}.py --" in done.out and not done.err
    for flag in re.findall(
        r"^_[A-Z]+ = [\w.]+\(\s*\"(\w+)\"", (ROOT / f"launch/{program}.py").read_text(), re.MULTILINE
    ):
        assert re.search(rf"^  --(\[no\])?{flag}: .", done.out, re.MULTILINE), flag


@pytest.mark.slow
def test_a_study_of_two_workers_and_its_report(tmp_path):
    """Two workers on one folder, how far it is, and its results again from the folder alone."""
    folder = tmp_path / "run"
    write_mini(tmp_path / "checkpoint", WORDS)
    study = [
        "--config=configs/shapes.py:tiny", f"--workdir={folder}", "--config.concepts=('red circle',)",
        f"--config.generator.path={tmp_path}/checkpoint", "--config.target.path=",
        "--config.target.module=tests.test_configs:red_circle",
        "--config.data.num_examples=12", "--config.sampler.steps=1", "--config.sampler.guidance_scale=1",
        "--config.compute.unit_size=8", "--config.output.sampled_examples=1",
        "--config.compute.batch_size=8", "--config.detector.path=",
        "--config.statistics.metrics=('accuracy',)", "--config.statistics.num_bootstrap=2",
    ]  # fmt: skip
    command = [sys.executable, "launch/local_workers.py", "--workers=2", "--", *study]
    workers = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert workers.returncode == 0, workers.stdout
    assert "[0] " in workers.stdout and "[1] " in workers.stdout
    done = re.search(r"(\d+) of (\d+) images are done", workers.stdout)
    assert f"draw 0: {done[2]} of {done[2]} images" in status(folder)
    first = (folder / "importance.csv").read_text()
    (folder / "importance.csv").unlink()
    again = launch("report", f"--workdir={folder}")
    assert "red circle" in again.out and f"{done[2]} of {done[2]} images are done" in again.out
    assert (folder / "importance.csv").read_text() == first
    # Two classifiers in the place of the one, on the same pictures; the one keeps its scores.
    both = {
        name: {"module": f"tests.test_configs:{of}"} for name, of in (("red", "red_circle"), ("mean", "brightness"))
    }
    compared = launch("explain", *study, f"--config.classifiers={both}")
    assert "config.target is not used" in compared.err and "red minus mean" in compared.out, compared.err
    assert (
        "target left out, whose scores are kept" in status(folder) and launch("verify", f"--workdir={folder}").code == 0
    )
    again = launch("report", f"--workdir={folder}")  # imports neither
    assert again.out == compared.out and (folder / "results/red/importance.csv").exists()
