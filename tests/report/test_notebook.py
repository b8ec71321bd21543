"""What notebooks show of an `Importance` and an `Explanation`."""

from html.parser import HTMLParser

import jax

from tests.report.made_up import made_checks, made_explanation, made_importance

HOSTILE = ['<script>alert("1")</script>', "<img src=x onerror=alert(1)>", "a&amp;b\u202e\u2028</td>", "x" * 2000]
PLAIN = {"p", "table", "thead", "tbody", "tr", "th", "td", "bdi", "details", "summary", "pre"}


class Page(HTMLParser):
    """Tags, attributes and the cells of a piece of HTML; what closes is what was opened."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.rows, self.text = [], set(), set(), [], ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if "bdi" in self.open:
            self.rows[-1].append(data)


def test_an_importance_is_a_table_of_intervals_and_verdicts():
    importance = made_importance(["dog", "a photo"], [0.3, -0.1], verdicts=["fail", "pass"], ranked=[1, 0])
    page = Page(importance.replace(warnings=("few <b> & more",))._repr_html_())
    assert page.rows == [
        ["rank", "ranks", "concept", "importance", "95% interval", "p", "holm", "check"],
        ["-", "1-1", "dog", "+0.3000", "+0.2500 to +0.4000", ".0123", ".0246", "FAIL"],
        ["a photo", "-0.1000", "-0.1500 to 0.0000", ".0123", "pass"],  # and empty cells
    ]
    assert (
        "Importance of 2 concepts by auroc, 2 draws" in page.text
        and "Warning: few <b> & more" in page.text
        and page.tags <= PLAIN
    )
    seen = []
    jax.make_jaxpr(lambda record: seen.append(record._repr_html_()) or record.value)(importance)
    assert seen == [None]  # so that the notebook shows its repr


def test_names_are_text_and_nothing_is_loaded():
    importance = made_importance(HOSTILE, [0.4, 0.3, 0.2, 0.1])
    checks = made_checks(["dog", "cat"], [[0, 0], [0, 0]], failing=[("dog", "cat")])
    explanation = made_explanation(importance, checks=checks, text="<script>\nwhat summary() says")
    explanation.table["oracle"] = explanation.table["planted_weight"] = 0.25
    page = Page(explanation._repr_html_())
    assert page.tags == PLAIN and page.attributes == {"style"}
    assert [row[2] for row in page.rows[1:]] == [*HOSTILE[:2], "a&amp;b </td>", "x" * 57 + "..."]
    assert page.rows[0][-2:] == ["planted", "oracle"] and page.rows[1][-1] == "+0.2500"
    assert "checks: 3 pass, 1 fail" in page.text and "<script>\nwhat summary() says" in page.text


def test_a_long_ranking_says_how_many_it_leaves_out():
    names = [f"c{k}" for k in range(50)]
    page = Page(made_importance(names, range(50, 0, -1))._repr_html_())
    assert len(page.rows) == 41 and "... and 10 more in to_frame()" in page.text
