"""The report in headless Chromium, from disk: sliders, zoom, flicker, errors, profiles, sorting, keys, and no error."""

import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
from reports import ODD, made

from pisolve.evaluate.section import Picture, Section

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
By = pytest.importorskip("selenium.webdriver.common.by").By
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
Actions = pytest.importorskip("selenium.webdriver.common.action_chains").ActionChains

PIXELS = """const pixels = k => { const from = panels[k].canvas;
  const c = new OffscreenCanvas(from.width || 1, from.height || 1);
  const d = c.getContext('2d', {willReadFrequently: true}); d.drawImage(from, 0, 0);
  return d.getImageData(0, 0, c.width, c.height); };
"""
SUM = PIXELS + """return panels.map((_, k) => { const d = pixels(k).data; let s = 0;
  for (let k = 0; k < d.length; k++) s = (31 * s + d[k]) % 1000000007; return s; });"""
MEAN = PIXELS + """const d = pixels(arguments[0]).data; let s = 0;
  for (let k = 0; k < d.length; k += 4) s += d[k]; return 4 * s / d.length;"""


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests, without a network; skips where there is none."""
    programs = [shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")]
    if None in programs:
        pytest.skip("no chromium and chromedriver on the path")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--window-size=1300,1000", "--host-resolver-rules=MAP * ~NOTFOUND", "--force-prefers-reduced-motion"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1]))
    driver.set_script_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reports")


@pytest.fixture
def page(browser, folder):
    """The report of three methods, two slices and two settings; afterwards the console must be empty."""
    path = folder / "small.html"
    if not path.exists():
        made(3, 2, (40, 32), 2, names=[ODD, "two", "three"]).to_html(path)
    opened(browser, path)
    yield browser
    assert errors(browser) == []


def opened(browser, path):
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.as_uri())
    wait(lambda: browser.execute_script("return document.getElementById('grid').dataset.ready"))


def errors(browser):
    return [entry["message"] for entry in browser.get_log("browser")]


def wait(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def sums(page):
    return page.execute_script(SUM)


def slide(page, name, value):
    page.execute_script("const e = document.getElementById(arguments[0]); e.value = arguments[1];"
                        "e.dispatchEvent(new Event('input', {bubbles: true}));"
                        "e.dispatchEvent(new Event('change', {bubbles: true}));", name, str(value))


def canvas(page, k):
    return page.find_elements(By.CSS_SELECTOR, "#grid canvas")[k]


def grid(page):
    return page.find_element(By.ID, "grid")


def press(page, keys):
    grid(page).send_keys(keys)


def test_window_and_level(page):
    """A lower window's white makes all images brighter, a higher level darker; the scale is written beside them."""
    before, dark = sums(page), page.execute_script(MEAN, 1)
    slide(page, "window", 50)
    slide(page, "level", 25)
    assert all(a != b for a, b in zip(sums(page), before))
    assert page.execute_script(MEAN, 1) > dark + 5
    slide(page, "level", 150)
    assert page.execute_script(MEAN, 1) < dark
    assert "white 0.4" not in page.find_element(By.ID, "legend").text
    press(page, "0")
    assert sums(page) == before


def test_a_pixel_is_what_it_should_be(page):
    """The decoded levels are the comparison's magnitudes, and the grey on the canvas is the window's."""
    comparison = made(3, 2, (40, 32), 2, names=[ODD, "two", "three"])
    found = page.execute_script("const s = current();"
                                "return [panels.map(p => Array.from(p.levels, physical)), s.top, s.peak]")
    for k, values in enumerate(found[0]):
        truth = comparison.settings[0].reference if k == 0 else abs(comparison.outcomes[0, [ODD, "two", "three"][k - 1]]
                                                                    .images)
        wanted = np.minimum(truth[1], found[2])
        np.testing.assert_allclose(np.reshape(values, (40, 32)), wanted, atol=0.51 * found[2] / 4095)
    grey = page.execute_script(PIXELS + "const d = pixels(0), at = 4 * (Math.floor(d.height * 20.5 / 40) * d.width + "
                               "Math.floor(d.width * 15.5 / 32)); return [...d.data.slice(at, at + 4)]")
    wanted = 255 * min(1, comparison.settings[0].reference[1, 20, 15] / found[1])
    assert grey[:3] == pytest.approx([wanted] * 3, abs=1)


def test_zoom_and_pan_are_linked(page):
    """Wheel, keys, drag and double click move all images alike; before a click the wheel scrolls the page."""
    before = sums(page)
    page.execute_script("document.getElementById('grid').scrollIntoView()")
    Actions(page).click(canvas(page, 1)).perform()
    page.execute_script("panels[1].canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: -400, bubbles: true, "
                        "cancelable: true, clientX: 0, clientY: 0}))")
    zoomed = sums(page)
    assert all(a != b for a, b in zip(zoomed, before))
    assert page.find_element(By.ID, "zoom-text").text == "2.0×"
    seen = page.execute_script("return panels.map(p => p.seen.join())")
    assert len(set(seen)) == 1
    Actions(page).drag_and_drop_by_offset(canvas(page, 2), -20, -12).perform()
    assert page.execute_script("return panels.map(p => p.seen.join())") != seen
    press(page, "+")
    press(page, Keys.ARROW_LEFT)
    press(page, "-")
    assert len(set(page.execute_script("return panels.map(p => p.seen.join())"))) == 1
    Actions(page).double_click(canvas(page, 0)).perform()
    assert sums(page) == before
    page.execute_script("document.activeElement.blur(); panels[1].canvas.dispatchEvent(new WheelEvent('wheel', "
                        "{deltaY: -400, bubbles: true, cancelable: true}))")
    assert sums(page) == before


def test_errors(page):
    """The reference stays, the methods' errors grow with their noise, and all share the scale that is written."""
    before = sums(page)
    press(page, "e")
    after = sums(page)
    assert after[0] == before[0]
    assert all(a != b for a, b in zip(after[1:], before[1:]))
    means = [page.execute_script(MEAN, k) for k in (1, 2, 3)]
    assert means[0] < means[1] < means[2]
    slide(page, "limit", 1)
    assert page.execute_script(MEAN, 3) < means[2]
    assert "0 (black) to 100 %" in page.find_element(By.ID, "legend").text
    page.execute_script("document.getElementById('error').click()")
    assert sums(page) == before


def test_flicker(page):
    """f shows one of two in the same place; space and the timer change it; the rate is kept; Escape ends it."""
    def visible():
        return page.execute_script("return shown().map(p => p.name)")

    press(page, "f")
    assert visible() == ["reference"]
    place = canvas(page, 0).rect
    press(page, " ")
    assert visible() == [ODD]
    assert canvas(page, 1).rect == place
    slide(page, "second", 3)
    assert visible() == ["three"]
    slide(page, "rate", 3)
    page.execute_script("document.getElementById('play').click()")
    seen = set()
    wait(lambda: len(seen.update(visible()) or seen) == 2, 5)
    assert page.find_element(By.ID, "play").get_attribute("aria-pressed") == "true"
    press(page, Keys.ESCAPE)
    assert len(visible()) == 4


def test_profile(page):
    """A click gives a row through it, with the values of every image; dragging a line; arrows move the row."""
    press(page, "p")
    page.execute_script("document.getElementById('grid').scrollIntoView()")
    Actions(page).click(canvas(page, 1)).perform()
    assert page.find_element(By.ID, "profile-text").text.startswith("Values along row y = ")
    lines = page.find_elements(By.CSS_SELECTOR, "#profile-plot g.series")
    assert len(lines) == 4
    row, values = page.execute_script("const y = view.line[1]; return [y, along(panels[0], view.line)]")
    np.testing.assert_allclose(values, made(3, 2, (40, 32), 2).settings[0].reference[1, row], atol=1e-3)
    press(page, Keys.ARROW_DOWN)
    assert page.execute_script("return view.line[1]") == row + 1
    slide(page, "kind", "column")
    assert "column x = " in page.find_element(By.ID, "profile-text").text
    Actions(page).drag_and_drop_by_offset(canvas(page, 1), 40, 30).perform()
    assert "line from" in page.find_element(By.ID, "profile-text").text
    assert page.find_elements(By.CSS_SELECTOR, "#profile-legend li")[1].text == ODD


def test_slices_settings_and_what_is_shown(page):
    """Every choice changes the images; curves and pattern follow the setting; a hidden method stays hidden."""
    before, values = sums(page), page.find_element(By.CSS_SELECTOR, ".panel:nth-child(2) .values").text
    press(page, "[")
    wait(lambda: grid(page).get_attribute("data-ready") == "0-0")
    assert all(a != b for a, b in zip(sums(page), before))
    assert page.find_element(By.CSS_SELECTOR, ".panel:nth-child(2) .values").text != values
    page.execute_script("document.querySelectorAll('#shown input')[2].click()")
    pattern = page.find_element(By.ID, "pattern").get_attribute("src")
    slide(page, "setting", 1)
    wait(lambda: grid(page).get_attribute("data-ready") == "1-0")
    assert page.find_element(By.ID, "pattern").get_attribute("src") != pattern
    assert page.execute_script("return shown().map(p => p.name)") == ["reference", ODD, "three"]
    hidden = [e.get_attribute("hidden") is not None for e in page.find_elements(By.CSS_SELECTOR, ".by-setting")]
    assert hidden == [True, False] * 3  # errors, convergence, strengths
    page.execute_script("document.getElementById('grid').scrollIntoView()")
    Actions(page).move_to_element(canvas(page, 1)).perform()
    assert page.find_element(By.ID, "readout").text.startswith("x 1")
    assert float(page.find_element(By.CSS_SELECTOR, ".panel:nth-child(2) .value").text) > 0


def test_tables_sort(page):
    """By a click and by the keyboard, both ways, and a reader is told."""
    def column(k):
        return page.execute_script("return [...document.querySelectorAll('#methods table.sortable tbody')[0].rows]"
                                   ".map(r => +r.cells[arguments[0]].dataset.sort)", k)

    head = page.find_elements(By.CSS_SELECTOR, "#methods table.sortable")[0].find_elements(By.CSS_SELECTOR, "thead th")
    assert column(1) == sorted(column(1), reverse=True)
    head[1].find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert head[1].get_attribute("aria-sort") == "descending"
    page.execute_script("arguments[0].click()", head[1].find_element(By.TAG_NAME, "button"))
    assert head[1].get_attribute("aria-sort") == "ascending"
    assert column(1) == sorted(column(1))
    page.execute_script("arguments[0].click()", head[0].find_element(By.TAG_NAME, "button"))
    assert [h.get_attribute("aria-sort") for h in head[:2]] == ["ascending", "none"]


def test_keyboard_and_help(page):
    """All controls are reached by Tab, each has a name; ? opens the list of keys, and keys do nothing below it."""
    names = page.execute_script("""return [...document.querySelectorAll('button, select, input, summary, a, #grid')]
        .map(e => (e.getAttribute('aria-label') || e.textContent || e.labels?.[0]?.textContent || '').trim())""")
    assert all(names)
    reached = set()
    page.execute_script("document.getElementById('setting').focus()")
    for _ in range(40):
        Actions(page).send_keys(Keys.TAB).perform()
        reached.add(page.switch_to.active_element.get_attribute("id"))
    assert {"slice", "error", "flicker", "profile", "window", "level", "limit", "first", "second", "rate", "grid"} - {
        "slice"} <= reached
    grid(page).send_keys("?")
    assert page.find_element(By.ID, "help").is_displayed()
    before = page.execute_script("return view.error")
    Actions(page).send_keys("e").send_keys(Keys.ESCAPE).perform()
    assert page.execute_script("return view.error") == before
    assert not page.find_element(By.ID, "help").is_displayed()
    press(page, "t")
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(244, 244, 244)"


def test_nothing_moves_and_nothing_is_asked_for(page):
    """The page does not jump while it is used, does not overflow a narrow window, and asks nobody for anything."""
    def place():
        return page.execute_script("return document.getElementById('curves').getBoundingClientRect().top + scrollY")

    before = place()
    for key in ("e", "+", "[", "]", "e", "0"):
        press(page, key)
    assert place() == before
    asked = [e["message"] for e in page.get_log("performance") if "Network.requestWillBeSent\"" in e["message"]]
    assert not [a for a in asked if "http://" in a.replace("http://www.w3.org", "") or "https://" in a]
    size = page.get_window_size()
    page.set_window_size(520, 900)
    try:
        assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        page.set_window_size(size["width"], size["height"])


@pytest.mark.parametrize(("methods", "slices", "reference"), [
    (1, 1, True), (1, 1, False), (12, 2, True), (4, 3, False)])
def test_any_number_of_methods(browser, folder, methods, slices, reference):
    path = folder / f"{methods}-{slices}-{reference}.html"
    made(methods, slices, (24, 20), reference=reference).to_html(path)
    opened(browser, path)
    assert len(browser.find_elements(By.CSS_SELECTOR, "#grid canvas")) == methods + reference
    assert browser.find_element(By.ID, "error").is_enabled() == reference
    for key in ("e", "f", " ", "p", "]", "f"):
        press(browser, key)
    assert errors(browser) == []


def test_what_failed_says_so_in_its_place(browser, folder):
    """Words in the panel and no image, in every view; the others are drawn as ever, and nothing is read off it."""
    comparison = made(3, 2, (40, 32))
    failed = replace(comparison.outcomes[0, "method 1"], status="failed", solver="ValueError: <b>", history=[],
                     images=np.zeros((2, 80, 32), np.complex64), values={"psnr": np.nan}, slices={"psnr": [np.nan] * 2})
    path = folder / "failed.html"
    replace(comparison, outcomes={**comparison.outcomes, (0, "method 1"): failed}).to_html(path)
    opened(browser, path)
    place = browser.execute_script("return panels.findIndex(p => p.name === 'method 1')")
    assert browser.find_elements(By.CSS_SELECTOR, ".panel .values")[place].text == "failed: no image"
    before = sums(browser)
    inked = browser.execute_script(PIXELS + "return new Set(pixels(arguments[0]).data).size", place)
    assert inked > 3, "no words are drawn"
    press(browser, "e")
    after = sums(browser)
    assert after[place] == before[place]
    assert all(a != b for k, (a, b) in enumerate(zip(after, before)) if k not in (0, place))
    press(browser, "p")
    assert len(browser.find_elements(By.CSS_SELECTOR, "#profile-plot g.series")) == 3
    Actions(browser).move_to_element(canvas(browser, place)).perform()
    values = browser.find_elements(By.CSS_SELECTOR, ".panel .value")
    assert values[place].text == ""
    assert values[1].text != ""
    assert errors(browser) == []


def test_twelve_methods_of_thirty_slices(browser, folder):
    """The largest report opens in seconds, the last slice comes at once, and the file is within its size."""
    path = folder / "large.html"
    made(12, 30, (320, 320), noise=0.01).to_html(path)
    assert 15e6 < path.stat().st_size < 25e6
    start = time.monotonic()
    opened(browser, path)
    last = browser.execute_script("return current().slices.length - 1")
    slide(browser, "slice", last)
    wait(lambda: grid(browser).get_attribute("data-ready") == browser.execute_script(
        "return '0-' + current().slices[arguments[0]]", last))
    assert time.monotonic() - start < 30  # about 2 s on an idle machine
    assert len(set(sums(browser))) == 13
    assert errors(browser) == []


def series(frames=5, slices=2, size=(24, 20)):
    """A comparison of series of slices, each frame brighter than the one before, lines of each frame its own."""
    flat = made(2, slices * frames, size)
    setting = flat.settings[0]
    bright = (1 + np.arange(frames) / frames)[:, None, None]
    whole = lambda x: x.reshape(slices, frames, *size) * bright  # noqa: E731
    pattern = np.random.default_rng(0).random((1, frames, size[0], 1)) < 0.4
    setting = replace(setting, reference=whole(setting.reference), axes=("slice", "frame", "coil", "ky", "kx"),
                      shape=(slices, frames, 4, *size), pattern=np.broadcast_to(pattern, (1, frames, *size)))
    return replace(flat, settings=(setting,),
                   outcomes={k: replace(o, images=whole(o.images)) for k, o in flat.outcomes.items()})


def test_a_series_steps_by_name_and_plays_as_a_movie(browser, folder):
    path = folder / "series.html"
    series().to_html(path)
    opened(browser, path)
    words = lambda name: browser.find_element(By.ID, name).text  # noqa: E731
    assert words("slice-axis") == "Plane"
    slide(browser, "slice", 0)
    wait(lambda: words("slice-text") == "slice 0, frame 0")
    wait(lambda: browser.execute_script("return document.getElementById('grid').dataset.ready") == "0-0")
    dark = browser.execute_script(MEAN, 0)
    slide(browser, "slice", 9)
    wait(lambda: words("slice-text") == "slice 1, frame 4")
    wait(lambda: browser.execute_script(MEAN, 0) > 1.3 * dark)
    assert "slice 1, frame 4" in canvas(browser, 0).get_attribute("aria-label")
    slide(browser, "speed", 25)
    assert words("movie") == "Play"
    browser.find_element(By.ID, "movie").click()
    assert words("movie") == "Pause"
    seen = set()
    wait(lambda: seen.add(words("slice-text")) or len(seen) == 5)
    assert seen == {f"slice 1, frame {k}" for k in range(5)}, "the frames of this slice, round and round"
    press(browser, "m")
    stopped = browser.execute_script("return view.slice")
    time.sleep(0.3)
    assert browser.execute_script("return [view.slice, view.movie]") == [stopped, False]
    assert words("movie") == "Play"
    assert words("pattern-axes") == "frame down, ky across"
    assert errors(browser) == []


def test_slices_have_no_movie(page):
    assert page.find_element(By.ID, "slice-axis").text == "Slice"
    assert not page.find_element(By.ID, "film").is_displayed()
    press(page, "m")
    assert page.execute_script("return view.movie") is False

METRICS = ("psnr", "psnr_body", "ssim", "ms_ssim", "nmse", "hfen", "lpips", "chi")
PIXEL = (2.0, 1.25)


@pytest.fixture(scope="module")
def full(folder):
    """The report of eight metrics, two accelerations, pixels that are not square and names as long as people's."""
    names = ["zero-filled", "wavelet, 16 shifts", "PnP, denoiser-brain", "network varnet-brain"]
    comparison = made(4, 2, (48, 40), 2, names=names, pixel=PIXEL)
    comparison = replace(comparison, settings=(comparison.settings[0], replace(comparison.settings[1], accel=8.0)))
    outcomes = {}
    for key, o in comparison.outcomes.items():
        slices = {m: [20.123 + n for n in range(2)] for m in METRICS}
        no_residual = [{**h, "residual": np.inf if h["k"] < 8 else 0.1, "moved": 0.3 ** h["k"]} for h in o.history]
        outcomes[key] = replace(o, slices=slices, values={m: float(np.mean(v)) for m, v in slices.items()},
                                history=no_residual if key[1] == names[2] else o.history)
    g = np.linspace(0, 3, 48 * 40).reshape(48, 40)
    section = Section("g-factor", "g.", [{"method": n, "g, median": 1.2} for n in names[:2]],
                      {n: Picture(g, 0.0, 3.0, "g", "heat") for n in names[:2]})
    path = folder / "full.html"
    replace(comparison, outcomes=outcomes).with_sections(section.on(PIXEL)).to_html(path)
    return path


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [420, 1000, 1300, 1600])
def test_nothing_is_cut_off(browser, full, width, theme):
    """Captions are whole, no label of a curve lies on another, and from 1300 pixels on tables fit."""
    size = browser.get_window_size()
    browser.set_window_size(width, 900)
    try:
        opened(browser, full)
        browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        press(browser, "d")
        shapes = browser.execute_script("""return [...document.querySelectorAll('#grid canvas, .pictures figure > img, '
            + '.paper:not([hidden]) img')].filter(e => e.clientWidth).map(e => e.clientHeight / e.clientWidth)""")
        assert len(shapes) == 1 + 4 + 1 + 2 + 4 + 1  # the viewer with a difference, the g-factor, errors, a difference
        assert shapes == pytest.approx([48 * PIXEL[0] / (40 * PIXEL[1])] * len(shapes), rel=0.03)
        cut = browser.execute_script("""return [...document.querySelectorAll('.panel .values, .legend, .verdict p, h1')]
            .filter(e => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1 ||
                    e.getBoundingClientRect().bottom > e.parentElement.getBoundingClientRect().bottom + 1)
            .map(e => e.textContent)""")
        assert cut == []
        wide = browser.execute_script("""return [...document.querySelectorAll('#methods > .wide, #terms > .wide')]
            .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.scrollWidth - e.clientWidth)""")
        assert width < 1300 or wide == []
        over = browser.execute_script("""return [...document.querySelectorAll('svg.plot')].flatMap(plot => {
            const labels = [...plot.querySelectorAll('text:not(.axis)')];
            const beside = (r, s) => r.left >= s.right || s.left >= r.right;
            const meet = (r, s) => !beside(r, s) && r.top + 4 < s.bottom && s.top + 4 < r.bottom;
            return labels.flatMap((a, k) => labels.slice(k + 1).filter(b => meet(a.getBoundingClientRect(),
              b.getBoundingClientRect())).map(b => `${a.textContent} ${b.textContent}`)); })""")
        assert over == []
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    finally:
        browser.set_window_size(size["width"], size["height"])


def test_a_method_without_a_residual_has_a_curve(browser, full):
    """While a level falls there is no residual: the steps are drawn, so that every method has its line."""
    opened(browser, full)
    lines = browser.execute_script("""return [...document.querySelectorAll('#curves figure')][0].querySelectorAll(
        'g.series path').length""")
    assert lines == 4


def test_errors_are_seen_without_a_click(browser, full):
    """Below the viewer the error of each method, drawn, and nothing of what is for paper."""
    opened(browser, full)
    strip = browser.find_elements(By.CSS_SELECTOR, ".paper img")
    shown = [e.get_attribute("alt") for e in strip if e.is_displayed()]
    names = browser.execute_script("return panels.slice(1).map(p => p.name)")
    assert shown == [*(f"errors of {name}" for name in names), f"difference {names[0]} \N{MINUS SIGN} {names[1]}"]
    assert not any(e.is_displayed() for e in browser.find_elements(By.CSS_SELECTOR, ".paper .inked"))


def test_the_difference_of_two_methods(page):
    """d, or the button: the first minus the second of those that are chosen, with a sign, on the errors' scale."""
    assert len(page.find_elements(By.CSS_SELECTOR, "#grid canvas")) == 4
    slide(page, "first", 2)
    slide(page, "second", 1)
    press(page, "d")
    assert page.execute_script("return shown().map(p => p.name)")[-1] == f"two \N{MINUS SIGN} {ODD}"
    a, b, got, limit, top = page.execute_script(
        "return [panels[2], panels[1]].map(p => Array.from(p.levels, physical)).concat([Array.from(gap.pixels.data), "
        "view.limit, current().top])")
    rgb = np.reshape(got, (-1, 4))[:, :3].astype(int)
    share = np.clip((np.array(a) - b) / (limit * top), -1, 1)
    assert abs(rgb[abs(share) < 0.01]).max() < 8  # dark where they agree
    assert np.corrcoef(rgb[:, 0] - rgb[:, 2], share)[0, 1] > 0.97  # orange above, blue below
    assert "Difference: first minus second" in page.find_element(By.ID, "legend").text
    before = page.execute_script("return Array.from(gap.pixels.data).join()")
    slide(page, "second", 3)
    assert page.execute_script("return Array.from(gap.pixels.data).join()") != before
    page.execute_script("document.getElementById('difference').click()")
    assert len(page.find_elements(By.CSS_SELECTOR, "#grid canvas")) == 4


def test_a_difference_needs_no_reference(browser, folder):
    path = folder / "blind.html"
    made(2, 1, (24, 20), reference=False).to_html(path)
    opened(browser, path)
    press(browser, "d")
    assert len(browser.find_elements(By.CSS_SELECTOR, "#grid canvas")) == 3
    assert browser.find_element(By.ID, "limit").is_enabled()
    shown = [e.get_attribute("alt") for e in browser.find_elements(By.CSS_SELECTOR, ".paper img") if e.is_displayed()]
    assert shown == ["difference method 0 \N{MINUS SIGN} method 1"]
    assert errors(browser) == []


def test_paper_shows_images(browser, full):
    """In print the canvases give way to images that need no program; images, tables and curves lie on the sheet."""
    opened(browser, full)
    size = browser.get_window_size()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.set_window_size(794, 1123)  # A4 at 96 dots an inch
    try:
        assert not browser.find_element(By.ID, "grid").is_displayed()
        sheets = browser.execute_script("""return [...document.querySelectorAll('.paper img')].map(e => {
            const c = new OffscreenCanvas(e.naturalWidth, e.naturalHeight).getContext('2d');
            c.drawImage(e, 0, 0);
            const d = c.getImageData(0, 0, e.naturalWidth, e.naturalHeight).data, r = e.getBoundingClientRect();
            return [r.width, r.left, r.right, Math.max(...d.filter((_, k) => k % 4 < 3))]; })""")
        assert len(sheets) == 2 * (1 + 2 * 4 + 1)  # two accelerations: images, errors, a difference
        for wide, left, right, brightest in sheets:
            assert wide > 100
            assert left >= 0
            assert right <= 794
            assert brightest > 100
        beyond = browser.execute_script("""return [...document.querySelectorAll('table, svg.plot, .verdict, h2')]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.textContent.slice(0, 40))""")
        assert beyond == []
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.set_window_size(size["width"], size["height"])
