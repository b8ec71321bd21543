"""report.html in headless Chromium: nothing leaves it, nothing in it fails, and its controls do what they say."""

import shutil

import pytest

from benchmarks.report_page import make_results
from cpi_jax.report.page.page import write_page
from tests.report.test_page import HOSTILE

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
if not (CHROMIUM and DRIVER):
    pytest.skip("no chromium and chromedriver: apt-get install chromium chromium-driver", allow_module_level=True)
selenium = pytest.importorskip("selenium", reason="no selenium: pip install '.[dev]'")

from selenium.webdriver import Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select


@pytest.fixture(scope="module")
def browser():
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with Chrome(options=options, service=Service(DRIVER)) as driver:
        yield driver


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """The page of two classifiers whose names, concepts, captions and ids are hostile, opened from the file system."""
    folder = tmp_path_factory.mktemp("page")
    concepts = ["red circle", "dog", *HOSTILE]
    results = {
        name: make_results(
            folder / str(k), concepts, examples=8, ids=[*HOSTILE, "7", "8"], caption=f"{HOSTILE[1]}, ", seed=k
        )
        for k, name in enumerate(("first", HOSTILE[0]))
    }
    browser.get(write_page(results, folder / "report.html").as_uri())
    return browser


def shown(page, selector):
    return [element for element in page.find_elements(By.CSS_SELECTOR, selector) if element.is_displayed()]


def test_nothing_leaves_nothing_fails_and_nothing_hostile_runs(page):
    assert page.get_log("browser") == []
    assert page.execute_script("return window.hit") is None
    names = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    assert all(name.startswith("data:") for name in page.execute_script(names))
    requests = [
        entry["message"] for entry in page.get_log("performance") if "Network.requestWillBeSent" in entry["message"]
    ]
    assert all('"url":"data:' in message or '"url":"file:' in message for message in requests)
    refused = "return fetch('http://127.0.0.1:9/').then(() => 'went', () => 'refused')"
    assert page.execute_script(refused) == "refused"
    assert any("Content Security Policy" in entry["message"] for entry in page.get_log("browser"))
    assert HOSTILE[0] in page.find_element(By.CSS_SELECTOR, "#chooser").text


def test_a_column_sorts_both_ways(page):
    table = shown(page, "table.ranking")[0]
    falls = [float(cell.get_attribute("data-key")) for cell in table.find_elements(By.CSS_SELECTOR, "td:nth-child(4)")]
    assert falls == sorted(falls, reverse=True)
    head = table.find_element(By.CSS_SELECTOR, "thead th:nth-child(4)")
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)  # the most important first
    assert head.get_attribute("aria-sort") == "descending"
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    again = [float(cell.get_attribute("data-key")) for cell in table.find_elements(By.CSS_SELECTOR, "td:nth-child(4)")]
    assert again == falls[::-1] and head.get_attribute("aria-sort") == "ascending"


def test_rankings_are_chosen_by_metric_and_filtered_by_name(page):
    Select(shown(page, ".choose-view")[0]).select_by_visible_text("accuracy")
    assert [view.find_element(By.TAG_NAME, "h3").text for view in shown(page, ".view")] == ["accuracy"]
    shown(page, ".filter-rows")[0].send_keys("DOG")
    rows = shown(page, "table.ranking tbody tr")
    assert [row.find_element(By.CSS_SELECTOR, "th").text for row in rows] == ["dog"]
    shown(page, ".filter-rows")[0].send_keys(Keys.BACKSPACE * 3)
    assert len(shown(page, "table.ranking tbody tr")) == 2 + len(HOSTILE)


def test_pictures_are_filtered_and_sorted(page):
    def cards(name):
        return [card.get_attribute(f"data-{name}") for card in shown(page, ".picture")]

    everything = len(cards("flips"))
    assert f"{everything} of {everything} pictures" in shown(page, ".count")[0].text
    box = shown(page, ".only-flips")[0]
    box.click()
    assert set(cards("flips")) == {"1"} and 0 < len(cards("flips")) < everything
    box.click()
    Select(shown(page, ".by-choice")[0]).select_by_value("random")
    assert set(cards("choice")) == {"random"}
    Select(shown(page, ".by-choice")[0]).select_by_index(0)
    Select(shown(page, ".by-concept")[0]).select_by_visible_text(HOSTILE[0])
    assert {card.find_element(By.TAG_NAME, "bdi").text for card in shown(page, ".picture h3")} == {HOSTILE[0]}
    Select(shown(page, ".by-concept")[0]).select_by_index(0)
    Select(shown(page, ".sort-cards")[0]).select_by_value("fall")
    changes = list(map(float, cards("change")))
    assert changes == sorted(changes) and len(changes) == everything


def test_the_swipe_is_moved_by_keys(page):
    assert not shown(page, ".swipe input")
    shown(page, ".as-swipe")[0].click()
    card = shown(page, ".picture")[0]
    slider = card.find_element(By.CSS_SELECTOR, ".swipe input")
    before = "return getComputedStyle(arguments[0].querySelector('.after img')).clipPath"
    assert "calc(50%" in page.execute_script(before, card) or "50%" in page.execute_script(before, card)
    slider.send_keys(Keys.HOME)
    slider.send_keys(Keys.ARROW_RIGHT)
    assert slider.get_attribute("aria-valuetext") == "1 % after, 99 % before"
    assert "99%" in page.execute_script(before, card)
    places = [figure.rect for figure in card.find_elements(By.CSS_SELECTOR, ".pair figure")]
    assert places[0]["x"] == places[1]["x"] and places[0]["y"] == places[1]["y"]
    shown(page, ".as-swipe")[0].click()


def test_one_classifier_is_shown_at_a_time(page):
    assert [article.get_attribute("id") for article in shown(page, "article")] == ["c0"]
    page.find_elements(By.CSS_SELECTOR, "#chooser a")[1].click()
    assert [article.get_attribute("id") for article in shown(page, "article")] == ["c1"]


def test_a_narrow_window_has_no_sideways_scrolling_and_print_shows_all(page):
    page.set_window_size(500, 900)
    width = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.execute_script(width) <= 0
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert len(shown(page, "article")) == 2 and len(shown(page, ".view")) == 6 and not shown(page, ".controls")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_script_everything_is_there(browser, tmp_path):
    path = write_page({"": make_results(tmp_path, ["a", "b"], examples=4, pairs=2)}, tmp_path / "report.html")
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(path.as_uri())
    assert len(shown(browser, ".view")) == 3 and len(shown(browser, ".picture")) == 2
    assert not shown(browser, ".controls")
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
