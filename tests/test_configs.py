"""Every file of configs/, with each of its arguments, from the command line to a plan or a result.

A config without a case here fails, and so does an argument without one.
"""

import dataclasses
import functools
import importlib.util
import itertools
import json
import re
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from configs.mimic_cxr import FINDINGS
from cpi_jax.classifiers.loading import load_scorer
from cpi_jax.data.coco import DEPICT_OBJECTS
from cpi_jax.data.examples import Examples
from cpi_jax.data.shapes import CONCEPTS
from cpi_jax.data.table import read_table
from cpi_jax.data.tfds import coco_objects
from cpi_jax.diffusion.checkpoint import load_generator
from cpi_jax.errors import InputError
from tests.garments import write_garments
from tests.launching import ROOT, launch
from tests.mini import write_mini
from tests.painter import painter, scenes, without_pictures

N = 12
OBJECTS = {name: [int((n * 7 + k) % 3 == 0) for n in range(N)] for k, name in enumerate(DEPICT_OBJECTS)}
HOME = [n % 2 for n in range(N)]
FILES = [f"{n:03}.png" for n in range(N)]
TEXT = "empty scene age bmi under or more to a an photo chest x - ray , . male female"
WORDS = sorted(
    {*TEXT.split(), *map(str, range(81)), "18", "5", *" ".join((*DEPICT_OBJECTS, *FINDINGS)).lower().split()}
)


def brightness(images):
    return images.mean((1, 2, 3)) - 0.5


def red_circle(images):
    return images[:, :4, :4].mean((1, 2, 3)) - 0.5


def square(k):
    """The corners of an object's nine pixels, one place for each kind."""
    row, column = k // 5 * 3, k % 5
    return [column, row, column + 3, row, column + 3, row + 3, column, row + 3]


def columns(example, info):
    return {**coco_objects(example, info), "home or hotel": int(example["home"])}


def source(path, **columns):
    """A user's source: the table, and pictures in memory."""
    return dataclasses.replace(read_table(path, **columns), images=np.zeros((N, 9, 9, 3), np.uint8))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Small data of every kind, and a checkpoint with random weights that knows its words."""
    folder = tmp_path_factory.mktemp("data")
    write_mini(folder / "checkpoint", WORDS)
    (folder / "photos").mkdir()
    for n, name in enumerate(FILES):
        Image.fromarray(np.full((9, 9, 3), 20 * n, np.uint8)).save(folder / "photos" / name)
    table = pd.DataFrame({"image_id": range(N), "file_name": FILES, "home or hotel": HOME, **OBJECTS})
    table.to_csv(folder / "photos" / "captions.csv", index=False)
    table.drop(columns="image_id").to_csv(folder / "photos" / "metadata.csv", index=False)
    table[["image_id", "home or hotel"]].to_csv(folder / "scenes.csv", index=False)
    instances = {
        "images": [{"id": n, "file_name": name, "height": 9, "width": 9} for n, name in enumerate(FILES)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(DEPICT_OBJECTS)],
        "annotations": [
            {"id": len(FILES) * k + n, "image_id": n, "category_id": k, "segmentation": [square(k)]}
            for (k, values), n in itertools.product(enumerate(OBJECTS.values()), range(N))
            if values[n]
        ],
    }
    (folder / "instances.json").write_text(json.dumps(instances))
    patients = {"dicom_id": [f"d{n}" for n in range(N)], "subject_id": [n // 2 for n in range(N)], "path": FILES}
    patients |= {"Pneumonia": HOME, "age": [30 + 5 * n for n in range(N)], "bmi": [17.0 + 2 * n for n in range(N)]}
    patients |= {"sex": ["M", "F", "F"] * 4} | {name: ([1, 0, -1, None] * 3) for name in FINDINGS[:3]}
    patients |= {name: [n == k for n in range(N)] for k, name in enumerate(FINDINGS[3:])}
    pd.DataFrame(patients).replace({True: 1, False: 0}).to_csv(folder / "photos" / "mimic.csv", index=False)
    (folder / "idx").mkdir()
    write_garments(folder / "idx")
    if importlib.util.find_spec("tensorflow_datasets"):
        from tests.data.tiny_photos import TinyPhotos

        TinyPhotos(data_dir=str(folder / "tfds"), file_format="array_record").download_and_prepare()
    return folder


# What each source of data is told; {0} is the folder of `place`.
TABLE = ["data.path={0}/photos/captions.csv", "data.label=home or hotel", "data.image=file_name"]
FOLDER = ["data.path={0}/photos", "data.label=home or hotel"]
COCO = ["data.path={0}/instances.json", "data.labels={0}/scenes.csv", "data.image_root={0}/photos"]
TFDS = [
    "data.name=tiny_photos",
    "data.split=twice",
    "data.data_dir={0}/tfds",
    "data.mapping=tests.test_configs:columns",
]
OWN = ["data.path={0}/photos/captions.csv", "data.label=home or hotel"]
MIMIC = ["data.path={0}/photos/mimic.csv", "data.image=path", "data.label=Pneumonia"]
GARMENTS = ["data.path={0}/idx", "data.num_examples=12"]
LABEL = ["data.label=home or hotel"]
MINE = [
    "generator.path={0}/checkpoint", "target.module=tests.test_configs:brightness", "sampler.steps=1",
    "sampler.guidance_scale=1", "compute.batch_size=8",
]  # fmt: skip
FEW = ["data.num_examples=24", "sampler.steps=1", "sampler.guidance_scale=1", "compute.batch_size=8"]
PLAN = {
    "table": (TABLE + MINE, 12),
    "folder": (FOLDER + MINE, 12),
    "depict_coco": (TABLE + MINE, 12),
    "depict_coco:table": (TABLE + MINE, 12),
    "depict_coco:coco": (COCO + MINE, 12),
    "depict_coco:tfds": (TFDS + MINE, 6),
    "mimic_cxr": (MIMIC + MINE, 12),
    "own:tests.test_configs:source": (OWN + MINE, 12),
    "shapes": (FEW, 24),
    "shapes:full": (FEW, 24),
    "shapes:small": (FEW, 24),
    "shapes:tiny": (FEW, 24),
    "benchmarks/shortcut/study": (FEW + GARMENTS, 12),
    "benchmarks/shortcut/study:full": (FEW + GARMENTS, 12),
    "benchmarks/shortcut/study:tiny": (FEW + GARMENTS, 12),
}
# Where the work of the other programs begins, which is as far as they go here, and what they are told.
TRAINS = "cpi_jax.training.classifier.train_classifier"
FITS = "cpi_jax.training.stable_diffusion.train_stable_diffusion"
INIT = ["init={0}/checkpoint", "held_out=2"]
SMALL = ["data.num_examples=9", "evaluation.data.num_examples=4"]
BEGUN = {
    "detector": ("train_classifier", TRAINS, TABLE),
    "benchmarks/recovery/train_config": ("recovery/train", TRAINS, ["data.num_examples=9"]),
    **dict.fromkeys(
        (f"train_shapes_classifier{which}" for which in ("", ":target", ":detector", ":trunk")),
        ("train_classifier", TRAINS, ["data.num_examples=9"]),
    ),
    **dict.fromkeys(
        (f"benchmarks/shortcut/train_classifier{which}" for which in ("", ":biased", ":balanced", ":detector")),
        ("train_classifier", TRAINS, GARMENTS),
    ),
    "train_generator": ("train_generator", FITS, SMALL),
    "benchmarks/shortcut/train_generator": (
        "train_generator",
        FITS,
        [*SMALL, GARMENTS[0], "evaluation.data.path={0}/idx"],
    ),
    "finetune_sd": ("train_generator", FITS, [*INIT, *TABLE]),
    "finetune_sd:table": ("train_generator", FITS, [*INIT, *TABLE]),
    "finetune_sd:folder": ("train_generator", FITS, [*INIT, *FOLDER]),
    "finetune_sd:coco": ("train_generator", FITS, [*INIT, *COCO, *LABEL]),
    "finetune_sd:tfds": ("train_generator", FITS, [*INIT, *TFDS, *LABEL, "data.concepts=('bed','chair')"]),
    "finetune_sd:shapes": ("train_generator", FITS, ["init=embedded", "held_out=2", "data.num_examples=9"]),
    "finetune_sd:benchmarks.shortcut.photographs:make_fashion": (
        "train_generator",
        FITS,
        ["init=benchmarks/shortcut/assets/generator", "held_out=2", *GARMENTS],
    ),
    **dict.fromkeys(
        (f"benchmarks/recovery/config{which}" for which in ("", ":full", ":tiny")),
        ("recovery", "benchmarks.recovery.run.generate", []),
    ),
    **dict.fromkeys(
        (f"benchmarks/shortcut/config{which}" for which in ("", ":full", ":tiny")),
        (
            "shortcut",
            "benchmarks.shortcut.run.run_timed",
            [*GARMENTS, "statistics.gaps="],
        ),  # 12 have too few of a class
    ),
    "shapes": ("compile_for", "cpi_jax.generation.topology.compile_for", []),
}

HELD_BACK = {  # examples that are left to train on
    "train_generator": 9, "benchmarks/shortcut/train_generator": 9, "finetune_sd:tfds": 4,
    "finetune_sd:shapes": 7,
}  # fmt: skip


def file_of(name):
    return ROOT / (f"{name}.py" if "/" in name else f"configs/{name}.py")


def told(place, config, workdir, fields):
    """The arguments of a launch."""
    name, colon, which = config.partition(":")
    fields = [f"--config.{field.format(place)}" for field in fields]
    return [f"--config={file_of(name)}{colon}{which}", f"--workdir={workdir}", *fields]


def test_every_config_has_its_cases():
    cases = {*PLAN, *BEGUN}
    configs = (path for folder in ("configs", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
    configs = {path for path in configs if "def get_config" in path.read_text()}
    assert {file_of(case.partition(":")[0]) for case in cases} == configs
    for name in {case.partition(":")[0] for case in cases}:
        given = {case.partition(":")[2] for case in cases if case.partition(":")[0] == name} - {""}
        given = {which for which in given if ":" not in which}  # a user's source of data
        refused = launch("explain", f"--config={file_of(name)}:none", "--workdir=x")
        known = re.search("among ([^;]*)", refused.err)
        assert refused.code == 1 and given == (set(known[1].strip().split(", ")) if known else set())


@pytest.fixture(scope="module", autouse=True)
def generators_are_read_once():
    with mock.patch("cpi_jax.cli.from_config.load_generator", functools.cache(load_generator)):
        yield


@pytest.mark.parametrize("config", PLAN)
def test_to_a_plan(place, tmp_path, config):
    if config.endswith("tfds"):
        pytest.importorskip("tensorflow_datasets")
    fields, number = PLAN[config]
    with mock.patch(
        "cpi_jax.cli.dry_run.describe_cost", lambda study: f"Images: {study.num_images}"
    ):  # compiles nothing
        done = launch("explain", *told(place, config, tmp_path / "run", [*fields, "plan_only=True"]))
    assert done.code == 0, done.err
    assert f"Examples: {number}, with images" in done.out and "Images: " in done.out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("config", BEGUN)
def test_to_where_the_work_begins(place, tmp_path, config):
    if config.endswith("tfds"):
        pytest.importorskip("tensorflow_datasets")
    program, work, fields = BEGUN[config]
    arguments = told(place, config, tmp_path / "run", fields)
    if program == "compile_for":
        arguments = [arguments[0], "--topology=v5e:2x2"]
    with mock.patch(work, autospec=True, side_effect=InputError("the work begins")) as begun:
        done = launch(program, *arguments)
    assert (done.code, begun.call_count) == (1, 1), done.err
    assert done.err.splitlines()[-1] == "error: the work begins"
    examples = next((value for value in begun.call_args.args if isinstance(value, Examples)), None)
    if examples is not None:  # of what is trained on, the pictures are there
        assert len(examples.pixels()) == len(examples) == HELD_BACK.get(config, 10)


def test_cocos_objects_are_edited_within_their_segmentations(place, tmp_path):
    """From the command line to images. Pictures of 9 x 9 pixels become 8 x 8, and so do the squares of their objects."""
    fields = [*COCO, *MINE, "sampler.steps=2", "concepts=('person','cup')", "plan_only=True"]
    fields += ["sampler.anchor=edit_friendly", "data.masks=True", "within_masks=True", "mask_dilation=0"]

    def planned(*changes):
        with mock.patch("cpi_jax.cli.dry_run.describe_cost", return_value="") as cost:
            done = launch("explain", *told(place, "depict_coco:coco", tmp_path / "run", [*fields, *changes]))
        return cost.call_args.args[0] if cost.called else done.err

    study = planned()
    assert study.masks[3].shape == (len(DEPICT_OBJECTS), 8, 8)
    batch = np.arange(study.batch_scorer.batch_size)
    editable = study.batch_scorer._sources.of(batch).editable
    for v in batch:
        concept, n = (
            DEPICT_OBJECTS[study.plan.features[study.plan.variants.feature[v]].slots[0]],
            study.plan.variants.example[v],
        )
        expected = np.ones((8, 8), bool)
        if study.plan.variants.feature[v] >= 0 and OBJECTS[concept][n]:
            expected[:] = False
            expected[:3, {"person": slice(0, 3), "cup": slice(1, 5)}[concept]] = True
        np.testing.assert_array_equal(editable[v], expected)
    assert not editable.all() and np.isfinite(study.batch_scorer.render(batch)[1]["target"]).all()
    assert "these examples have none: set data.masks, which the sources coco and" in planned("data.masks=False")
    refused = planned("sampler.anchor=sdedit")
    assert refused.splitlines()[-1].startswith("error: within_masks is of sampler.anchor = 'edit_friendly'")
    assert "and data.image_size is 9: leave it out" in planned("data.image_size=9")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_trained_detector(place, tmp_path):
    fields = [*TABLE, "data.image_size=8", "data.concepts=('bed','tv')"]
    train = ["train.num_steps=2", "train.channels=(8,)", "train.batch_size=4"]
    done = launch("train_classifier", *told(place, "detector", tmp_path, fields + train))
    assert done.code == 0 and "bed: AUROC" in done.out, done.err
    assert load_scorer(tmp_path / "export").outputs == ("bed", "tv")


@pytest.mark.slow
def test_to_a_result(tokenizer, tmp_path):
    """A study of the painter's images is looked at, made, told of and evaluated again, with the same flags."""
    examples = scenes(24)
    table = pd.DataFrame({"id": examples.ids, "label": examples.concepts[:, 0]})
    table[list(CONCEPTS)] = examples.concepts
    table.to_csv(tmp_path / "table.csv", index=False)
    folder = tmp_path / "new" / ".." / "run"
    fields = [
        "data.path={0}/table.csv",
        "data.label=label",
        "generator.path=painted",
        "draws=1",
        "compute.unit_size=16",
    ]
    fields += [MINE[1].replace("brightness", "red_circle"), "compute.batch_size=16", "statistics.num_bootstrap=2"]
    fields += ["statistics.metrics=('auroc',)"]
    study = told(tmp_path, "table", folder, fields)
    with mock.patch("cpi_jax.cli.from_config.load_generator", lambda *args, **kwargs: (painter(), tokenizer)):
        look = launch("preview", *study, "--examples=2")
        assert look.code == 0 and Image.open(tmp_path / "run" / "preview.png").width > 100, look.err
        elsewhere = tmp_path / "other" / "sheet.png"
        assert launch("preview", *study, f"--out={elsewhere}").out == f"wrote {elsewhere}\n"
        with without_pictures():
            made = launch("explain", *study)
        images = re.search(r"(\d+) of (\d+) images are done", made.out)
        assert made.code == 0 and images[1] == images[2], made.err
        assert f"draw 0: {images[1]} of {images[1]} images" in launch("status", f"--workdir={folder}").out
        first = pd.read_csv(tmp_path / "run" / "importance.csv")
        auroc = first[first.metric == "auroc"].set_index("concept").importance
        assert auroc["red circle"] > 0.3 and (auroc.drop("red circle") == 0).all()
        (tmp_path / "run" / "importance.csv").unlink()
        with without_pictures():
            again = launch("report", f"--workdir={folder}")
        assert again.code == 0, again.err
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "run" / "importance.csv"), first)
        chunk = tmp_path / "run" / "scores.zarr" / "target" / "c" / "0" / "2" / "0"
        whole = chunk.read_bytes()
        chunk.unlink()
        look = launch("verify", f"--workdir={folder}")
        assert look.code == 1 and "not sound: 1 unit of the target's draw 0: 2" in look.out
        look = launch("verify", f"--workdir={folder}", "--mend")
        assert look.code == 1 and "would run code that the study's folder names" in look.err
        look = launch("verify", f"--workdir={folder}", "--mend", "--trust")
        assert look.code == 0 and look.out.endswith("sound\n") and chunk.read_bytes() == whole
        other = launch("preview", *study, "--config.seed=1")
        assert other.code == 1 and "holds another study: seed is 0 there and 1 here" in other.err
