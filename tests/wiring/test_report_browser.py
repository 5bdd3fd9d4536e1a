"""The report in a real browser: it asks for nothing, its parts move, it fits a phone and follows the dark mode."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from difflab.report import write
from tests.made_runs import made_run, sweep_folder

webdriver = pytest.importorskip("selenium.webdriver")
WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
BROWSER, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER.exists() and DRIVER.exists()), reason="needs chromium and chromium-driver (apt-get install them)"
)
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in (*QUIET, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("reports")
    figures = {("ddim", 8): 30.0, ("ddim", 16): 20.0, ("heun", 8): 120.0, ("heun", 16): 14.0}
    return {"run": write(made_run(root / "run")), "sweep": write(sweep_folder(root, figures))}


def shown(browser: Any, page: Path, width: int = 1280, scheme: str = "light") -> None:
    """Open a page and wait for its first plots."""
    metrics = {"width": width, "height": 812, "deviceScaleFactor": 1, "mobile": width < 600}
    still = {"name": "prefers-reduced-motion", "value": "reduce"}  # or a click hits what is still scrolling
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}, still]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(page.as_uri())
    wait(browser, "return document.documentElement.dataset.ready === 'true'")


def wait(browser: Any, script: str) -> None:
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(script))


def one(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def column(browser: Any, number: int) -> list[str]:
    script = "return [...document.querySelectorAll('.sortable tbody tr')].map(row => row.cells[arguments[0]].innerText)"
    return [text.strip() for text in browser.execute_script(script, number)]


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_page_asks_for_nothing_and_says_no_error(name: str, browser: Any, pages: dict[str, Path]) -> None:
    shown(browser, pages[name])
    browser.execute_script("scrollTo(0, document.body.scrollHeight)")
    wait(browser, "return [...document.querySelectorAll('section > .plots > .plot')].at(-1).querySelector('svg')")
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert {url for url in asked if not url.startswith("data:")} == {pages[name].as_uri()}
    entries = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [entry for entry in entries if not entry.startswith("data:")] == []
    assert browser.get_log("browser") == []


def test_slider_shows_another_picture(browser: Any, pages: dict[str, Path]) -> None:
    shown(browser, pages["run"])
    image, slider = one(browser, "#grids img"), one(browser, "#grids input")
    last = image.get_attribute("src")
    assert last.startswith("data:image/webp;base64,")
    slider.send_keys(webdriver.Keys.ARROW_LEFT)
    assert image.get_attribute("src") != last
    assert one(browser, "#grids output").text == "1,024 images seen"
    assert image.get_attribute("alt") == "samples, 1,024 images seen"
    one(browser, "#grids .play").send_keys(webdriver.Keys.ARROW_RIGHT)  # from anywhere in the figure
    assert image.get_attribute("src") == last


def test_film_plays_to_its_end(browser: Any, pages: dict[str, Path]) -> None:
    shown(browser, pages["run"])
    one(browser, "#film .play").click()
    assert one(browser, "#film output").text != "state 5 of 5"
    wait(browser, "return document.querySelector('#film output').value === 'state 5 of 5'")
    wait(browser, "return document.querySelector('#film .play').getAttribute('aria-pressed') === 'false'")


def test_table_sorts_by_size_with_what_is_missing_last(browser: Any, pages: dict[str, Path]) -> None:
    shown(browser, pages["sweep"])
    head = one(browser, ".sortable thead th:nth-child(5)")
    head.find_element("css selector", "button").click()
    assert [text.split()[0] for text in column(browser, 4) if text] == ["14", "20", "30", "120"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.find_element("css selector", "button").click()
    assert [text.split()[0] for text in column(browser, 4) if text] == ["120", "30", "20", "14"]
    assert column(browser, 4)[-1] == ""  # the job that failed
    one(browser, ".sortable thead th:nth-child(3) button").click()
    assert column(browser, 2) == ["<b>", "ddim", "ddim", "heun", "heun"]


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_phone_needs_no_sideways_scroll(name: str, browser: Any, pages: dict[str, Path]) -> None:
    shown(browser, pages[name], width=375)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 375
    wide = "return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, .strip, svg')"
    assert browser.execute_script(f"{wide} && e.getBoundingClientRect().right > 376).map(e => e.outerHTML)") == []


def test_dark_mode_reaches_the_plots(browser: Any, pages: dict[str, Path]) -> None:
    look = "return [getComputedStyle(document.body).backgroundColor, "
    look += "document.querySelector('#curves .xtick text').style.fill]"
    found = []
    for scheme in ("light", "dark"):
        shown(browser, pages["run"], scheme=scheme)
        browser.execute_script("document.querySelector('#curves').scrollIntoView()")
        wait(browser, "return document.querySelector('#curves .xtick text')")
        found.append(browser.execute_script(look))
    assert found == [["rgb(250, 250, 248)", "rgb(95, 104, 115)"], ["rgb(20, 23, 27)", "rgb(160, 169, 180)"]]


def test_dark_mode_that_comes_later_is_followed(browser: Any, pages: dict[str, Path]) -> None:
    shown(browser, pages["sweep"])
    media = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    wait(browser, "return document.querySelector('.xtick text').style.fill === 'rgb(160, 169, 180)'")
