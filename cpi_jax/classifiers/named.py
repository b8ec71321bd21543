"""What the scorers of a study are called: the detector by its name, one target "target", several as the user names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cpi_jax.classifiers.scorer import HostScorer, Scorer
from cpi_jax.errors import InputError

TARGET, DETECTOR = "target", "detector"
_TAKEN = {DETECTOR: "the detector", "generator": "the generator"}


def name_scorers(
    target: Scorer | HostScorer | None,
    targets: Mapping[str, Scorer | HostScorer] | None,
    detector: Scorer | HostScorer | None,
) -> dict[str, Scorer | HostScorer]:
    """All scorers of a study by name, the detector last.

    Args:
      target: the classifier under study; None where there are several.
      targets: several by name; None where there is one.
      detector: of the concepts; None for none.

    Raises:
      InputError: for both or neither of target and targets, or for names that cannot be (`validate_names`).
    """
    if target is not None and targets is not None:
        raise InputError("target and targets are given: give one classifier as target, or several by name as targets")
    if targets is not None:
        if not isinstance(targets, Mapping):
            raise InputError(f"targets must be classifiers by name, such as {{'a': ..., 'b': ...}}, not {targets!r}")
        validate_names(targets)
    elif target is None:
        raise InputError("no classifier is given: give one as target, or several by name as targets")
    else:
        targets = {TARGET: target}
    return {**targets, **({} if detector is None else {DETECTOR: detector})}


def validate_names(names: Iterable[str]) -> None:
    """Refuses names of several classifiers that are no names of files, are another's, or differ by letters' case alone.

    Raises:
      InputError: names the classifier.
    """
    names, known = list(names), {}
    if names in ([], [TARGET]):
        raise InputError(
            "name the classifiers to explain, such as {'a': ..., 'b': ...}"
            + (f"; one that is called {TARGET!r} is given as the target instead" if names else "")
        )
    for name in names:
        if name in _TAKEN:
            raise InputError(f"a classifier is called {name!r}, as {_TAKEN[name]} is: give it another name")
        if not isinstance(name, str) or not name.isidentifier():
            raise InputError(
                f"a classifier is called {name!r}, and its files are: use letters, digits and _, not beginning with a digit"
            )
        if (other := known.setdefault(name.lower(), name)) != name:
            raise InputError(
                f"two classifiers are called {other!r} and {name!r}, which some disks take for one name: rename one"
            )


def validate_told_apart(hashes: Mapping[str, str]) -> None:
    """Refuses two targets that are one, or cannot be told apart.

    Args:
      hashes: what a study knows each target by (`params_hash`), by name.

    Raises:
      InputError: names both.
    """
    first: dict[str, str] = {}
    for name, known_by in hashes.items():
        if (other := first.setdefault(known_by, name)) != name:
            raise InputError(
                f"the classifiers {other} and {name} have the same weights and settings: leave one out, or, where their "
                "functions differ, give each a name of its own, as in Scorer(params, function, name='a')"
            )


def validate_comparable(num_outputs: Mapping[str, int]) -> None:
    """Refuses targets with different numbers of outputs.

    Args:
      num_outputs: scores an image of each target, by name.

    Raises:
      InputError: names two that differ.
    """
    (first, count), *others = num_outputs.items()
    for name, number in others:
        if number != count:
            raise InputError(
                f"the classifier {first} gives {count} scores an image and {name} gives {number}: to be compared both must "
                "give as many, so say in `classes` of load_scorer (or of the config) which outputs the label is about"
            )
