"""Every page runs as its reader would run it: its blocks in order, in one process and one working directory a page.

Commands that take long are not run: their programs, flags, configs and fields must be such as there are. The file
is long by the list of what each page says.
"""

import ast
import contextlib
import gzip
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from ml_collections import ConfigDict
from PIL import Image

import cpi_jax
from cpi_jax.cli.config import base_config, data_config
from cpi_jax.data.coco import DEPICT_OBJECTS
from cpi_jax.data.shapes import CONCEPTS
from cpi_jax.data.table import read_table
from cpi_jax.data.tfds import read_tfds
from cpi_jax.diffusion.sampler_settings import SamplerSettings
from cpi_jax.embedded import SHAPES_GENERATOR, SHAPES_TARGET
from tests.catalogue import exact_shapes
from tests.classifiers.transformers_folders import write_vit
from tests.data.test_sources import NAMES, PIXELS, coco_file
from tests.garments import write_garments
from tests.launching import ROOT, console, launch
from tests.mini import write_mini
from tests.painter import painter, without_pictures
from tests.reading import OWN, launches, steps

pytestmark = pytest.mark.slow

TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))
}
# `make docs` executes the cells of notebooks; what is left here are their commands.
CELL = re.compile(r"^```\{code-cell\}.*?^```", re.MULTILINE | re.DOTALL)
NOTEBOOKS = {page: CELL.sub("", text) for page, text in TEXTS.items() if "file_format: mystnb" in text}
PAGES = {page: text for page, text in TEXTS.items() if page not in NOTEBOOKS and steps(text)}
PROGRAMS = {
    path.relative_to(ROOT).as_posix(): path
    for pattern in ("configs/*.py", "launch/*.py", "benchmarks/*/*.py")
    for path in sorted(ROOT.glob(pattern))
    if path.parent.parent == ROOT or "def get_config" in path.read_text() or path.name == "__main__.py"
}
MORE_WORDS = "1 , an empty scene trousers sneaker boot bag grass gravel brick"
WORDS = sorted({*" ".join((*DEPICT_OBJECTS, MORE_WORDS)).split()})
GARMENTS = "/usr/share/datasets/fashion-mnist"  # Debian's package, in whose place stand made-up files
# Commands that are run, by how they begin, and what makes them small.
RUN = {
    "docs/data.md": {
        "python launch/explain.py --config=configs/depict_coco.py": [],
        "python launch/explain.py --config=configs/folder.py": [],
        "python launch/train_classifier.py": [
            "--config.data.num_examples=12", "--config.data.image_size=8", "--config.train.num_steps=1",
            "--config.train.channels=(8,)", "--config.train.batch_size=4",
        ],
    },
    "docs/large_studies.md": {
        "python launch/explain.py": [
            "--config.generator.path=painted", "--config.target.path=",
            "--config.detector.path=", "--config.target.module=tests.test_configs:red_circle",
            "--config.data.num_examples=12", "--config.draws=1", "--config.compute.unit_size=8",
            "--config.compute.batch_size=8",
            "--config.statistics.num_bootstrap=2", "--config.statistics.metrics=('accuracy',)",
        ],
        "python launch/status.py": [],
        "python launch/verify.py": ["--trust"],
        "python launch/report.py": [],
    },
}  # fmt: skip
OTHERS = ("pip", "apt-get", "tensorboard", "docker", "sbatch")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with the checkout's folders."""
    for name in ("benchmarks", "configs", "launch"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.fixture
def files(here, tmp_path):
    """Small files under the names that pages use."""
    for folder in ("photos/in", "val2017", "idx", "path/to"):
        Path(folder).mkdir(parents=True)
    for name, pixels in zip(NAMES, PIXELS):
        Image.fromarray(pixels).save(f"val2017/{name}")
    shutil.copy("val2017/000.png", "photos")
    shutil.copy("val2017/001.png", "photos/in")
    rows = re.findall(r"^    (file_name,.*\n(?:    .*\n)+)", PAGES["docs/data.md"], re.MULTILINE)
    Path("photos/metadata.csv").write_text(rows[0].replace("    ", ""))
    Path("my_data.py").write_text(re.search(r"```python\n([^`]*def scenes.*?)```", PAGES["docs/data.md"], re.DOTALL)[1])
    ground = np.array(["grass", "sand"] * 2)
    np.savez(
        "scenes.npz", indoors=[0, 1, 1, 0], dog=[1, 1, 0, 0], ground=ground, images=np.zeros((4, 8, 8, 3), np.uint8)
    )
    coco_file(tmp_path)
    Path("instances.json").rename("instances_val2017.json")
    pd.read_csv("scenes.csv").rename(columns={"home": "home or hotel"}).to_csv("scenes.csv", index=False)
    write_garments(Path("idx"))
    for path in Path("idx").glob("*ubyte"):
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
    write_mini(Path("path/to/checkpoint"), WORDS)
    write_vit(Path("my_vit"))
    shutil.copytree(SHAPES_TARGET, "path/to/classifier")
    objects = {name: [n % 2, 1 - n % 2] * 2 for n, name in enumerate(DEPICT_OBJECTS)}
    pd.DataFrame({"image_id": range(4), "home or hotel": [0, 1, 1, 0], **objects}).to_csv("captions.csv", index=False)
    patients = {"patient": [1, 1, 2], "pneumonia": [0, 1, 1], "age": [30, 50, 70], "sex": ["M", "F", "F"]}
    pd.DataFrame(patients | {"tube": [1, 0, 1]}).to_csv("patients.csv", index=False)


def exact_generator(folder, **sampler):
    """Looks up what the embedded one would draw, whose 192 images take as long as all other pages."""
    assert (folder, SamplerSettings(**sampler).steps) == (SHAPES_GENERATOR, 8)
    return exact_shapes()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_as_it_is_read(page, files, tokenizer, monkeypatch, capsys):
    if page == "docs/data.md":
        prepare_tfds(monkeypatch)
    if page in ("README.md", "docs/python.md"):
        monkeypatch.setattr("cpi_jax.load_generator", exact_generator)
    if page == "docs/large_studies.md":
        monkeypatch.setattr("cpi_jax.cli.from_config.load_generator", lambda *args, **kwargs: (painter(), tokenizer))
    monkeypatch.setattr(
        "cpi_jax.cli.dry_run.describe_cost", lambda study: f"Images: {study.num_images}"
    )  # compiles nothing
    checks, names = list(CHECKS.get(page, ())), {}
    for step in steps(PAGES[page]):
        if step.python:
            with contextlib.nullcontext() if page == "README.md" else without_pictures():
                exec(compile(step.python.replace(GARMENTS, "idx"), page, "exec"), names)
            checks.pop(0)(names)
        else:
            follow(page, step.words)
    assert not checks
    if page == "README.md":
        ranked = re.findall(r"^ +\d +\d-\d (.+?)  ", capsys.readouterr().out, re.MULTILINE)
        assert ranked[0] == "red circle" and set(ranked) == set(CONCEPTS)


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_the_commands_of_a_notebook_are_such_as_there_are(page, here):
    for step in steps(NOTEBOOKS[page]):
        follow(page, step.words)


def follow(page, words):
    """Runs a command where it is quick; else looks whether all that it names is there."""
    command = " ".join(words)
    small = [more for start, more in RUN.get(page, {}).items() if command.startswith(start)]
    if words[0] == "cpi-jax" and words[1] in OWN:
        assert console(*words[1:]).code == 0, command
        return
    known = list(launches(words))
    for program, arguments in known:
        if program in ("status", "report", "verify"):
            Path(arguments[0].removeprefix("--workdir=")).mkdir(parents=True, exist_ok=True)
        done = launch(program, *arguments, *(small[0] if small else ["--only_check_args"]))
        assert done.code == 0, f"{command}: {done.err}"
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[1] == "-m" and words[2].startswith("tests."):
        assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file()
    elif words[0] == "launch/tpu_vm.sh":
        printed = subprocess.run(["bash", *words], capture_output=True, text=True, check=True)
        assert printed.stdout.startswith(("gcloud", "git", "mkdir"))
    else:
        assert known or words[0] in OTHERS, f"{page} has a command that nobody runs: {command}"


def prepare_tfds(monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    from tests.data.tiny_photos import TinyPhotos

    TinyPhotos(data_dir="tfds", file_format="array_record").download_and_prepare()

    def read_tiny(name, *, split, **kwargs):
        assert (name, split) == ("coco/2017", "validation")
        return read_tfds("tiny_photos", data_dir="tfds", **kwargs)

    monkeypatch.setattr("cpi_jax.data.tfds.read_tfds", read_tiny)


# What the Python of a page must have given, block by block.


def explained(names):
    table = names["found"].table.query("metric == 'auroc'").set_index("concept")
    # Redness cannot miss a red circle: permuting it takes AUROC from about 1 to one half.
    assert table.importance["red circle"] > 0.3 > abs(table.importance["blue rectangle"])


def permuted(names):
    assert names["ids"].shape == (25, 32, 32)


def sharded(names):
    keys = cpi_jax.noise_keys(jax.random.key(0), 0, jnp.arange(32, dtype=jnp.uint32))
    assert jax.eval_shape(names["scores"], names["ids"][0], keys).shape == (32, 1)  # compiles nothing


def inferred(names):
    estimate = names["result"].estimate
    assert float(estimate[0, 0]) > 0.2 and (estimate[0] > estimate[2]).all()


def put_beside(names):
    beside = names["beside"].query("method == 'occlusion' and how == 'signed'").set_index("concept").importance
    assert beside["red circle"] > 0 > beside["blue circle"]  # the planted signs


def classified(names):
    images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    scorer = names["scorer"]
    apply = jax.jit(scorer.apply) if hasattr(scorer, "apply") else lambda _, x: scorer(x)
    scores = np.asarray(apply(getattr(scorer, "params", None), images))
    assert scores.shape == (2, 1) and np.isfinite(scores).all()
    if not hasattr(scorer, "apply"):
        np.testing.assert_allclose(scores[:, 0], (images[..., 0] - images[..., 1]).mean((1, 2)), atol=1e-5)


def configured(names):
    fields = names["get_config"]().data.to_dict()
    assert fields.pop("source") == "table"
    slots = read_table(**fields).slots
    assert slots[0] == ("age under 40", "male", "a chest tube") and slots[1][2] == ""


def cut(names):
    assert names["examples"].concept_names == ("dog", "cat", "sofa")
    assert names["examples"].concepts.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


def pictures(*grey, slots, labels):
    def check(names):
        examples = names["examples"]
        assert examples.slots == slots and examples.labels.tolist() == labels
        np.testing.assert_array_equal(examples.images.read()[:, 0, 0, 0], grey)

    return check


def own(names):
    examples = names["scenes"]("scenes.npz", num_scenes=3, phrases={"dog": "a dog"})
    assert examples.slots == [("a dog", "grass"), ("a dog", "sand"), ("", "grass")]
    assert examples.labels.tolist() == [0, 1, 1] and examples.images.shape == (3, 8, 8, 3)


def composed(names):
    table = pd.read_csv("photos/metadata.csv")
    assert len(table) == 40 and set(table.ground) == {"grass", "gravel", "brick"}
    assert Image.open(Path("photos") / table.file_name[0]).size == (64, 64)


def generated(names):
    assert names["tokenizer"].model_max_length == 77


def kept(names):
    scores = names["scores"].target.to_numpy()
    assert scores.shape == (1, len(names["rows"]), 1) and np.isfinite(scores).all()


CHECKS = {
    "README.md": [lambda names: None],  # what it prints is looked at above
    "docs/classifiers.md": [classified] * 3,
    "docs/data.md": [
        configured,
        cut,
        pictures(10, 120, slots=[("1 dog", "carpet"), ("", "grass")], labels=[1, 0]),
        pictures(
            240, 10, 120, slots=[("1 person", "1 chair", ""), ("", "1 chair", "1 bed"), ("", "", "")], labels=[1, 0, 1]
        ),
        pictures(10, 120, 240, slots=[("", "1 chair", ""), ("", "", ""), ("", "1 chair", "")], labels=[1, 0, 0]),
        own,
        composed,
    ],
    "docs/large_studies.md": [kept],
    "docs/python.md": [explained, permuted, sharded, put_beside],
    "docs/statistics.md": [inferred],
    "docs/stable_diffusion.md": [generated],
}


@pytest.mark.parametrize("file", PROGRAMS)
def test_the_commands_of_a_docstring_are_such_as_there_are(file, here):
    text = ast.get_docstring(ast.parse(PROGRAMS[file].read_text()))
    followed = steps(re.sub("^(?=python )", "    ", text, flags=re.MULTILINE))
    assert followed
    for step in followed:
        follow(file, step.words)


def fields_of(config, before=""):
    for name in config:
        yield before + name
        if isinstance(config[name], ConfigDict):
            yield from fields_of(config[name], f"{before}{name}.")


def test_every_field_that_the_docs_name_is_there():
    studies = [
        base_config(),
        *(ConfigDict({"data": data_config(name)}) for name in ("table", "folder", "coco", "tfds")),
    ]
    names = {}
    for path in PROGRAMS.values():
        if path.parent.name == "configs" and path.stem != "own":  # whose fields are those of the user's function
            exec(compile(path.read_text(), str(path), "exec"), names)
            studies.append(names["get_config"]())
    known = {field for config in studies for field in fields_of(config)}
    for page, text in TEXTS.items():
        said = set(re.findall(r"--config\.([a-z_]+(?:\.[a-z_]+)*)", text))
        said |= set(re.findall(r"`((?:unet|sampler|evaluation|generator|statistics|checks)\.(?!csv)[a-z_]+)\b", text))
        assert said <= known, f"{page}: {said - known}"
