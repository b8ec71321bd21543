"""The directive `public`: signature and docstring of every public name that comes from the modules it is given.

`cpi_jax/__init__.pyi` says which names there are and where each comes from, so that a new name is in the reference by
itself. A name that no page asks for ends the build.
"""

import ast
import dataclasses
import inspect
import re
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

import cpi_jax

_PRIVATE = re.compile(r"\bjaxlib\._jax\.")
_RANDOM_KEY = re.compile(
    r"Key\[Array, ''\] \| UInt32\[Array, '2'\] \| UInt32\[Array, '4'\]"
)  # jaxtyping's PRNGKeyArray
STUB = Path(cpi_jax.__file__).with_suffix(".pyi")


def public_names() -> dict[str, str]:
    """The module of each public name, within the package."""
    imported = [line for line in ast.parse(STUB.read_text()).body if isinstance(line, ast.ImportFrom)]
    return {alias.asname or alias.name: line.module for line in imported for alias in line.names}


class Public(SphinxDirective):
    """Modules or folders of the package, one a line: `statistics.metrics`."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        lines, asked = [], getattr(self.env, "public_names", {})
        for place in self.content:
            names = [name for name, module in public_names().items() if f"{module}.".startswith(f"{place}.")]
            if not names:
                raise self.error(f"no public name comes from {place!r}")
            asked[self.env.docname, place] = names
            for name in names:
                lines += ["```{eval-rst}", *_directive(name), "```", ""]
        self.env.public_names = asked
        section = nodes.section(document=self.state.document)
        self.state.nested_parse(StringList(lines, source=self.env.docname), self.content_offset, section)
        return section.children


def _directive(name: str) -> list[str]:
    value = getattr(cpi_jax, name)
    if isinstance(value, type):
        directive = "autoexception" if issubclass(value, Exception) else "autoclass"
        shown = [f".. {directive}:: {name}", "   :members:"]
    elif callable(value):
        shown = [f".. autofunction:: {name}"]
    elif isinstance(value, dict):
        shown = [
            f".. py:data:: {name}",
            "   :type: dict",
            "",
            "   By name: " + ", ".join(f"``{key}``" for key in value),
        ]
    else:
        shown = [f".. py:data:: {name}", f"   :type: {type(value).__name__}"]
    return [".. py:currentmodule:: cpi_jax", "", *shown]


def shorten(app, what, name, value, options, signature, returns):
    """Records without types and long defaults, which the list of their fields has; arrays by their short names."""
    if dataclasses.is_dataclass(value):
        parameters = inspect.signature(value).parameters.values()
        shown = [p.replace(annotation=p.empty, default=_short(p.default)) for p in parameters]
        return str(inspect.Signature(shown)), returns
    return tuple(text and _RANDOM_KEY.sub("PRNGKeyArray", _PRIVATE.sub("", text)) for text in (signature, returns))


class _Hidden:
    def __repr__(self):
        return "..."


def _short(default):
    return default if default is inspect.Parameter.empty or len(repr(default)) < 20 else _Hidden()


def refuse_what_is_missing(app, env):
    missing = public_names().keys() - {name for names in getattr(env, "public_names", {}).values() for name in names}
    if missing:
        raise ExtensionError(f"no page of docs/reference asks for the modules of {', '.join(sorted(missing))}")


def setup(app):
    app.add_directive("public", Public)
    app.connect("autodoc-process-signature", shorten)
    app.connect("env-check-consistency", refuse_what_is_missing)
    return {"version": "1", "parallel_read_safe": False}
