"""The documentation site: `make docs` builds it, executes its tutorials, and ends at the first warning.

Nothing is fetched, neither while it is built nor by the reader's browser: the search is Sphinx's own.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import cpi_jax
from cpi_jax.cli.cpu_devices import num_cpu_devices

os.environ.setdefault("JAX_PLATFORMS", "cpu")
if number := num_cpu_devices():  # as the launches do
    os.environ["JAX_NUM_CPU_DEVICES"] = str(number)
# Several tutorials run the same programs: each is compiled once.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(HERE.parent / "build" / "compiled_for_docs"))
# The tutorials run in folders of their own, and find this Python, the package and its programs.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
os.environ["CHECKOUT"] = str(HERE.parent)

project = "cpi_jax"
author = "cpi_jax"
copyright = "cpi_jax, Apache-2.0"
version = release = cpi_jax.__version__
language = "en_GB"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "public_names"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "force"  # a tutorial depends on the package, which a cache of its own text would not see
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_number_source_lines = False

default_role = "py:obj"  # `name` in a docstring is a link where there is such a name
python_use_unqualified_type_names = True
autodoc_preserve_defaults = True  # as they are written, not what they come to
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"cpi_jax {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
