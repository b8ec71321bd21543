"""What the package imports is what pyproject.toml asks for; what an extra brings is asked for in one sentence."""

import ast
import functools
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cpi_jax
from cpi_jax.baselines.lime import superpixels
from cpi_jax.data.tfds import read_tfds
from cpi_jax.errors import InputError
from cpi_jax.statistics.record import Importance
from tests.test_import_rule import PACKAGE, imports

PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]


def distribution(requirement):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


BASE = {distribution(r) for r in PROJECT["dependencies"]}
EXTRAS = {name: {distribution(r) for r in rs} for name, rs in PROJECT["optional-dependencies"].items()}


PROVIDERS = functools.cache(packages_distributions)  # it reads what every installed distribution says of itself


def of_module(name):
    return {distribution(name) for name in PROVIDERS()[name.partition(".")[0]]}


def test_what_is_imported_is_in_the_base_install_and_all_of_that_is_imported():
    known = sys.stdlib_module_names | {"cpi_jax"}
    seen = {m for path in PACKAGE.rglob("*.py") for m in imports(path, for_types=False)}
    seen = {m for m in seen if m.partition(".")[0] not in known}
    lacking = {m for m in seen if not of_module(m) & BASE}
    assert not lacking, f"pyproject.toml's dependencies bring no {lacking}"
    assert {name for m in seen for name in of_module(m)} >= BASE


def test_what_an_extra_brings_is_in_that_extra():
    calls = [
        [argument.value for argument in node.args[:2]]
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "import_extra"
    ]
    assert {extra for _, extra in calls} == {"baselines", "data", "onnx", "xarray"}
    assert all(of_module(module) & EXTRAS[extra] for module, extra in calls)
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert everything == "cpi_jax[baselines,data,onnx,xarray]"


# What needs an extra, the module that is not there, and the extra.
USES = {
    "data": ("tensorflow_datasets", "data sets of TFDS", lambda _: read_tfds("mnist")),
    "baselines": ("skimage.segmentation", "LIME's superpixels", lambda _: superpixels(np.zeros((1, 8, 8, 3)), 2)),
    "xarray": ("xarray", "labelled arrays", Importance.to_xarray),
}


@pytest.mark.parametrize("extra", USES)
def test_a_missing_extra_is_named_in_a_sentence(extra, monkeypatch):
    module, what, use = USES[extra]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError) as caught:
        use(None)
    library = module.partition(".")[0]
    said = rf"{what} need {library} \(.*{module}.*\): pip install 'cpi_jax\[{extra}\]'"
    assert re.fullmatch(said, str(caught.value)), caught.value


def test_heat_maps_but_limes_need_no_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    scorer = cpi_jax.Scorer(None, lambda params, images: images[..., 0].sum((1, 2)))
    methods, images = cpi_jax.heat_maps(scorer), jnp.full((1, 8, 8, 3), 0.5)
    keys = jax.random.split(jax.random.key(0), 1)
    np.testing.assert_array_equal(methods["gradient"](keys, images), np.ones((1, 8, 8)))
    with pytest.raises(InputError, match="baselines"):
        methods["LIME (mean)"](keys, images)


def test_the_list_of_licences_has_every_package_that_is_asked_for():
    rows = re.findall(
        r"^\| ([\w.-]+) \| (\S.*) \| (extras)? *\|$", (PACKAGE.parent / "LICENSES.md").read_text(), re.MULTILINE
    )
    listed = {distribution(name): extra for name, _, extra in rows}
    assert {name for name in BASE if listed.get(name) != ""} == set()
    assert {name for extra in ("baselines", "data", "onnx", "xarray") for name in EXTRAS[extra]} <= listed.keys()
