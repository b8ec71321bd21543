"""The figures that users make and that studies write: what stands where, from numbers that are known."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import cpi_jax
from cpi_jax.errors import InputError
from cpi_jax.files.csv_files import csv_text
from cpi_jax.report.figures import save_figure
from cpi_jax.report.style import SERIES, styled
from tests.report.made_up import (
    made_checks,
    made_differences,
    made_explanation,
    made_importance,
    made_responses,
)

LONG = ["the same long beginning of a name, then dog", "the same long beginning of a name, then cat"]
HOSTILE = "$x^$ <b>\n_{"


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def drawn(container):
    """Points [N, 2] of an errorbar, and the ends of its intervals [N, 2]."""
    points, _, (bars,) = container
    ends = np.array([segment[:, int(container.has_yerr)] for segment in bars.get_segments()]).reshape(-1, 2)
    return np.stack(points.get_data(), axis=1).astype(float), ends


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_a_ranking_shows_estimates_intervals_draws_and_what_failed():
    importance = made_importance(
        ["dog", "cat", "sky", "a photo"], [0.1, 0.3, -0.2, 0.0], verdicts=["pass", "fail", "pass", "pass"],
        ranked=[1, 1, 1, 0], metrics=("auroc", "accuracy"),
    )  # fmt: skip
    ax = cpi_jax.plot_ranking(importance, ax=Figure())
    assert labels(ax.yaxis) == ["sky", "a photo", "dog", "cat (check FAILED)"]
    sound, failed = ax.containers
    np.testing.assert_allclose(drawn(sound)[0], [[-0.2, 0], [0, 1], [0.1, 2]])
    np.testing.assert_allclose(drawn(sound)[1], [[-0.25, -0.1], [-0.05, 0.1], [0.05, 0.2]])
    np.testing.assert_allclose(drawn(failed)[0], [[0.3, 3]])
    assert (sound[0].get_markerfacecolor(), failed[0].get_markerfacecolor()) == (SERIES[0][0], "none")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "estimate, 95% interval", "check FAILED", "one draw",
    ]  # fmt: skip
    first, second = (line for line in ax.lines if line.get_marker() == ".")
    np.testing.assert_allclose(first.get_xdata(), [-0.21, -0.01, 0.09, 0.29])
    np.testing.assert_allclose(second.get_xdata(), [-0.19, 0.01, 0.11, 0.31])
    assert words(ax) == [
        "p .0123   Holm .0246\nranks 2-3   check: pass",
        "p .0123\ncontrol   check: pass",
        "p .0123   Holm .0246\nranks 1-2   check: pass",
        "p .0123   Holm .0246\nrank not valid   check: fail",
    ]
    assert ax.get_xlabel() == "importance: drop of AUROC when the concept is permuted"
    ax = cpi_jax.plot_ranking(importance.to_frame(), metric="accuracy", ax=Figure())
    np.testing.assert_allclose(drawn(ax.containers[0])[0], [[-0.02, 0], [0, 1], [0.01, 2]])
    with pytest.raises(InputError, match="there is no metric 'acuracy' among auroc, accuracy; did you mean 'accuracy'"):
        cpi_jax.plot_ranking(importance, metric="acuracy")


def test_an_explanation_says_what_differs_and_the_planted_truth():
    importance = made_importance(["dog", "cat"], [0.3, 0.1], draws=1)
    explanation = made_explanation(importance, differences=made_differences(["dog", "cat"], [0.1, 0.2], [0.2, 0.01]))
    explanation.table["oracle"] = [0.28, 0.12]
    ax = cpi_jax.plot_ranking(explanation, ax=Figure())
    assert labels(ax.yaxis) == ["cat (differs by sex)", "dog"]
    (truth,) = (line for line in ax.lines if line.get_label() == "planted truth")
    np.testing.assert_allclose(truth.get_data(), [[0.12, 0.28], [0.22, 1.22]])
    assert truth.get_marker() == "d" and "one draw" not in [t.get_text() for t in ax.get_legend().get_texts()]


def test_a_value_that_is_none_stands_last_and_one_concept_is_enough():
    ax = cpi_jax.plot_ranking(made_importance(["dog", "cat"], [np.nan, -0.1]), ax=Figure())
    assert labels(ax.yaxis) == ["dog", "cat"]
    ax = cpi_jax.plot_ranking(made_importance(["dog"], [0.1]), ax=Figure())
    assert labels(ax.yaxis) == ["dog"] and ax.get_ylim() == (-0.7, 0.7)


@pytest.mark.parametrize("number", [2, 30])
def test_independence_shows_every_change_by_colour_and_in_words(number):
    names = [f"c{k}" for k in range(number)]
    change = np.where(np.eye(number), -0.4, 0.001)
    change[0, 1] = 0.25
    checks = made_checks(names, change, failing=[("c0", "c1")])
    ax = cpi_jax.plot_independence(made_explanation(made_importance(names, change[0]), checks=checks), ax=Figure())
    np.testing.assert_array_equal(ax.images[0].get_array(), change)
    assert labels(ax.xaxis) == labels(ax.yaxis) == names
    cells = {text.get_position()[::-1]: text.get_text() for text in ax.texts}  # by permuted and detected
    own = "-0.400\nfollows 0.980" if number == 2 else "-.40"
    expected = {(k, k): own for k in range(number)} | {(0, 1): "+0.250\nFAIL" if number == 2 else "+.25\nx"}
    assert cells == expected | ({(1, 0): "+0.001"} if number == 2 else {})
    if number > 2:
        assert "x: FAIL" in ax.get_xlabel()
    with pytest.raises(InputError, match="independence was not checked: it needs a detector"):
        cpi_jax.plot_independence(checks.assign(check="effective generation"))


def test_responses_are_curves_of_ordered_contents_and_points_of_others():
    explanation = made_explanation(
        made_importance(["dogs"], [0.1]), responses=made_responses("dogs", ["", "1 dog", "2 dogs"], [[-1, 0, 2]])
    )
    ax = cpi_jax.plot_response(explanation, "dogs", ax=Figure())
    points, ends = drawn(ax.containers[0])
    np.testing.assert_allclose(points, [[0, -1], [1, 0], [2, 2]])
    np.testing.assert_allclose(ends, [[-1.5, 0], [-0.5, 1], [1.5, 3]])
    assert labels(ax.xaxis) == ["nothing", "1 dog", "2 dogs"] and ax.get_xlabel() == "dogs"
    assert ax.containers[0][0].get_linestyle() == "-"
    assert ax.get_legend().get_texts()[0].get_text() == "mean, 95% interval"
    several = made_responses("ground", ["grass", "brick"], np.arange(20).reshape(10, 2), ordered=False)
    curves = cpi_jax.plot_response(several, "ground", ax=Figure()).containers
    assert {curve[0].get_linestyle() for curve in curves} == {"None"}
    assert len({curve[0].get_marker() for curve in curves}) == 10  # colours alone would be two too few
    assert (curves[0].get_label(), curves[9].get_label()) == ("output 0", "output 9")
    np.testing.assert_allclose(drawn(curves[9])[0][:, 1], [18, 19])
    many = made_responses("text", [f"t{k}" for k in range(50)], [np.arange(50)], ordered=False)
    ax = cpi_jax.plot_response(many, "text", ax=Figure())
    assert labels(ax.xaxis) == [f"t{k}" for k in range(10, 50)]
    assert ax.get_title("left") == "the 40 contents with most examples, of 50"
    with pytest.raises(InputError, match="there is no concept 'dog' among dogs; did you mean 'dogs'"):
        cpi_jax.plot_response(explanation, "dog")


def test_differences_are_the_surest_first_and_those_that_are_shown_filled():
    table = made_differences(["dog", "cat", "sky"], [0.3, -0.2, 0.0], [0.01, 0.02, 0.9])
    ax = cpi_jax.plot_differences(made_explanation(made_importance(["dog"], [0.1]), differences=table), ax=Figure())
    assert labels(ax.yaxis) == ["sky", "cat", "dog"]
    shown, others = ax.containers
    np.testing.assert_allclose(drawn(shown)[0], [[-0.2, 1], [0.3, 2]])
    np.testing.assert_allclose(drawn(shown)[1], [[-0.3, 0], [0.2, 0.5]])
    np.testing.assert_allclose(drawn(others)[0], [[0, 0]])
    assert (shown[0].get_markerfacecolor(), others[0].get_markerfacecolor()) == (SERIES[0][0], "none")
    assert ax.get_xlabel() == "difference of importance, M minus F (drop of AUROC)"
    assert words(ax)[2] == "p .0050   Holm .0100\ndiffers   check: pass"
    second = table.assign(group="X", differs=False, p=1.0)
    ax = cpi_jax.plot_differences(pd.concat([table, second]), ax=Figure())
    assert labels(ax.yaxis)[-1] == "dog\nM minus F" and labels(ax.yaxis)[0] == "sky\nX minus F"
    assert ax.get_xlabel() == "difference of importance between subgroups of sex (drop of AUROC)"
    of_classifiers = table.drop(columns=["between", "group"]).assign(classifier="new", against="old", verdict="fail")
    ax = cpi_jax.plot_differences(of_classifiers, ax=Figure())
    assert labels(ax.yaxis)[-1] == "dog (check FAILED)" and "importance, new minus old (" in ax.get_xlabel()


@pytest.mark.parametrize("number", [40, 101])
def test_long_rankings_grow_and_very_long_ones_say_what_they_leave_out(number):
    figure = Figure()
    ax = cpi_jax.plot_ranking(made_importance([f"c{k}" for k in range(number)], -np.arange(number)), ax=figure)
    assert len(labels(ax.yaxis)) == min(number, 100) and labels(ax.yaxis)[-1] == "c0"
    np.testing.assert_allclose(figure.get_size_inches(), (9.2, 0.42 * min(number, 100) + 1.8))
    assert ax.get_title("left") == ("the 100 most important of 101 concepts" if number > 100 else "")
    many = made_differences([f"c{k}" for k in range(number)], np.zeros(number), np.linspace(0, 1, number))
    ax = cpi_jax.plot_differences(many, ax=Figure())
    assert ("60 surest of 101" in ax.get_title("left")) == (number > 60) and labels(ax.yaxis)[-1] == "c0"


def test_names_are_shown_letter_by_letter_and_stay_different(tmp_path):
    """Also on axes that a user made before, under a style that takes names for TeX."""
    names = [HOSTILE, *LONG]
    importance = made_importance(names, [0.3, 0.2, 0.1])
    checks = made_checks(names, np.zeros((3, 3)))
    differences = made_differences(names, [0.3, 0.2, 0.1], [0.1, 0.2, 0.3], group=HOSTILE)
    responses = made_responses(HOSTILE, names, [[1, 2, 3]])
    shown = ["$x^$ <b> _{", "the same l...of a name, then dog", "the same l...of a name, then cat"]
    figure = Figure((30, 8))
    for ax, plot, of in zip(
        figure.subplots(1, 4),
        (cpi_jax.plot_ranking, cpi_jax.plot_independence, cpi_jax.plot_differences, cpi_jax.plot_response),
        (importance, checks, differences, responses),
    ):
        ax.set_yticks(range(9), ["$y$"] * 9)  # ticks of the user's own, with mathematics
        more = {"concept": HOSTILE} if of is responses else {}
        assert plot(of, ax=ax, **more) is ax
        said = labels(ax.xaxis if of is responses else ax.yaxis)
        assert [name for name in said if name not in shown] == [] and set(shown) <= set(said)
    foreign = [text for text in figure.findobj(Text) if "$x^$" in text.get_text()]
    assert len(foreign) >= 7 and not any(text.get_parse_math() or text.get_usetex() for text in foreign)
    save_figure(figure, tmp_path / "names.svg", "", dpi=30)
    assert (tmp_path / "names.svg").read_text().count("<!-- $x^$ &lt;b&gt; _{ -->") >= 4


def test_figures_are_new_ones_of_pyplot_only_where_no_axes_are_given(monkeypatch):
    made, own = [], Figure
    monkeypatch.setattr("matplotlib.pyplot.figure", lambda **how: made.append(own(**how)) or made[-1])
    table = made_importance(["dog", "cat"], [0.3, 0.1]).to_frame()
    ax = cpi_jax.plot_ranking(table)
    assert ax.figure is made[0] and np.allclose(made[0].get_size_inches(), (9.2, 2.64))
    assert cpi_jax.plot_ranking(table, ax=ax) is ax and len(made) == 1
    both = Figure().subfigures(1, 2)
    assert cpi_jax.plot_ranking(table, ax=both[1]).figure is both[1]
    with pytest.raises(InputError, match=r"one matplotlib Axes, or None for a new figure, not an array of \(2,\)"):
        cpi_jax.plot_ranking(table, ax=Figure().subplots(2))
    with pytest.raises(InputError, match="the figure has 1 axes already: give one of them, or an empty figure"):
        cpi_jax.plot_ranking(table, ax=ax.figure)
    assert len(made) == 1


def test_samples_stand_in_lines_by_the_ranking(tmp_path):
    (tmp_path / "images").mkdir()
    columns = ["row", "example", "feature", "value", "caption", "score", "output", "real_score", "real_output"]
    rows = [[0, 7, "", "", "a dog", 1.5, np.nan, np.nan, np.nan], [1, 7, "sky", "blue", "-", -0.5, 2, np.nan, np.nan]]
    rows += [[2, 7, "dog", "", "-", 0.25, np.nan, np.nan, np.nan]]
    (tmp_path / "images" / "samples.csv").write_text(csv_text(pd.DataFrame(rows, columns=columns)))
    explanation = made_explanation(made_importance(["dog", "sky"], [0.3, 0.1]), workdir=tmp_path)
    (tmp_path / "importance.csv").write_text(csv_text(explanation.table))
    with pytest.raises(InputError, match="holds no pictures: a study keeps those of"):
        cpi_jax.plot_samples(explanation, figure=Figure())
    for row in range(3):
        Image.fromarray(np.full((4, 4, 3), 50 * row, np.uint8)).save(tmp_path / "images" / f"variant_{row}.png")
    axes = cpi_jax.plot_samples(explanation, figure=Figure())
    assert axes.shape == (1, 4) and not axes[0, 0].images  # no real picture was kept
    assert [ax.images[0].get_array()[0, 0, 0] for ax in axes[0, 1:]] == [0, 100, 50]
    titles = [ax.get_title() for ax in axes[0]]
    assert titles == ["", "a dog\n+1.50", "dog\n-> absent\n+0.25", "sky\n-> blue\noutput 2: -0.50"]


def test_what_there_is_not_is_said():
    nothing = made_explanation(made_importance(["dog"], [0.1]))
    for plot, reason in {
        cpi_jax.plot_independence: "no rows in `checks` to plot: nothing was checked: give explain a detector",
        cpi_jax.plot_differences: "no rows in `differences` to plot: they need a subgroup column",
        cpi_jax.plot_samples: "this explanation has no folder with pictures: give explain a workdir",
        lambda of: cpi_jax.plot_response(of, "dog"): "no rows in `responses` to plot: mean scores are kept of",
    }.items():
        with pytest.raises(InputError, match=reason):
            plot(nothing)
    with pytest.raises(InputError, match="an Explanation is needed, or its `table`, not a dict"):
        cpi_jax.plot_ranking({})
    with pytest.raises(InputError, match="the table lacks the column 'metric': it is not the `table` of an Expl"):
        cpi_jax.plot_ranking(nothing.table[["concept"]])
    with pytest.raises(InputError, match="an Explanation is needed, or a study's folder, not a Figure"):
        cpi_jax.plot_samples(Figure())


def test_the_users_style_neither_reaches_files_nor_is_changed(tmp_path):
    table = made_importance(["dog"], [0.1]).to_frame()

    def written(name):
        with styled(alone=True):
            cpi_jax.plot_ranking(table, ax=(figure := Figure()))
            save_figure(figure, tmp_path / name, "", dpi=40)
        return (tmp_path / name).read_bytes()

    plain = written("plain.png")
    with matplotlib.style.context("dark_background"):
        before = dict(matplotlib.rcParams)
        assert written("dark.png") == plain
        assert dict(matplotlib.rcParams) == before
        assert to_hex(cpi_jax.plot_ranking(table, ax=Figure()).get_facecolor()) == "#000000"  # in a notebook it does


@pytest.mark.parametrize("kind", ["png", "jpg", "svg", "pdf"])
def test_a_file_is_of_the_kind_that_its_ending_says(tmp_path, kind):
    path = tmp_path / f"sheet.{kind}"
    save_figure(Figure((1, 1)), path, "", dpi=20)
    begin = {"png": b"\x89PNG", "jpg": b"\xff\xd8", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    assert path.read_bytes().startswith(begin)


def test_colours_differ_for_colour_blind_people_and_in_grey():
    """Machado et al. (2009), complete dichromacy; the first four, which stand side by side most often."""
    matrices = {
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    }
    colors = np.array([matplotlib.colors.to_rgb(color) for color, _, _ in SERIES[:4]])
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    for matrix in matrices.values():
        seen = np.clip(linear @ np.array(matrix).T, 0, 1)
        apart = np.abs(seen[:, None] - seen[None]).max(-1)
        assert apart[~np.eye(4, dtype=bool)].min() > 0.1
    assert len({(marker, line) for _, marker, line in SERIES}) == len(SERIES)
