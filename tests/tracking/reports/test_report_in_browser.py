"""The report in a real browser: on a desk and a phone, by keyboard and printed."""

from __future__ import annotations

from browser import browsing, keep_picture, needs_browser
from report_studies import make_full_report

from tracking.reports.study_report import render_report

pytestmark = needs_browser

SORT = """
(() => {
  const table = document.querySelector("table[data-filter]");
  const column = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === "learning_rate");
  const button = table.tHead.rows[0].cells[column].querySelector("button");
  const cells = () => [...table.tBodies[0].rows].map((row) => row.cells[column].dataset.v ?? "");
  const read = () => cells().filter(Boolean).map(Number);
  button.click();
  const up = read();
  button.click();
  return [up, read(), table.tHead.rows[0].cells[column].getAttribute("aria-sort")];
})()
"""
PRESS = """
(() => {
  const svg = document.querySelector("#optimization-history svg");
  svg.focus();
  svg.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true, cancelable: true}));
  svg.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true, cancelable: true}));
  const shown = [
    document.activeElement === svg,
    document.querySelector(".tip").textContent,
    document.querySelector("[role=status]").textContent,
    document.querySelectorAll("circle.mark").length,
    document.querySelectorAll("tr.on").length,
  ];
  svg.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape", bubbles: true, cancelable: true}));
  return [...shown, document.querySelector(".tip").textContent];
})()
"""
FILTER = """
(() => {
  const count = () => (document.querySelector("#slices path[data-n]").getAttribute("d").match(/M/g) || []).length;
  const before = count(), form = document.querySelector("#filter form");
  form.querySelector("input").value = "10";
  form.dispatchEvent(new Event("input", {bubbles: true}));
  const search = document.querySelector("input[type=search]");
  search.value = "failed";
  search.dispatchEvent(new Event("input", {bubbles: true}));
  const rows = [...document.querySelectorAll("tr[id^=t]")].filter((row) => !row.hidden);
  return [before, count(), rows.length, rows.every((row) => row.textContent.includes("failed"))];
})()
"""
WIDTHS = "[document.documentElement.scrollWidth, innerWidth, getComputedStyle(document.body).backgroundColor]"


def test_the_report_in_a_browser(tmp_path):
    """It fits a phone, follows the dark, prints on white, and works by keyboard; its policy lets its own script run."""
    page = tmp_path / "report.html"
    page.write_text(render_report(make_full_report()), encoding="utf-8")
    with browsing(tmp_path) as browser:
        browser.seen(page.as_uri(), wanted="</html>")
        up, down, direction = browser.run(SORT)
        assert up == sorted(up)
        assert down == sorted(down, reverse=True)
        assert len(up) > 20
        assert direction == "descending"
        is_focused, tip, spoken, rings, rows, after = browser.run(PRESS)
        assert is_focused
        assert tip.startswith("trial 1, complete")
        assert "val_accuracy" in spoken
        assert rings > 3, "the trial is marked in every figure"
        assert rows == 1
        assert after == ""
        all_trials, few_trials, failed, is_all = browser.run(FILTER)
        assert few_trials < all_trials / 4
        assert failed == 10
        assert is_all
        for name, width, dark in (("desktop", 1280, False), ("phone", 390, False), ("dark", 1280, True)):
            file = tmp_path / f"report-{name}.png"
            browser.picture(file, width, dark=dark)
            keep_picture(file)
            inner, outer, colour = browser.run(WIDTHS)
            assert inner <= outer, f"the page is wider than a {name}"
            assert (colour == "rgb(20, 24, 29)") is dark
        browser.resize(718)
        browser.print_as_seen(dark=True)
        inner, outer, colour = browser.run(WIDTHS)
        assert colour == "rgb(255, 255, 255)"
        assert inner <= outer, "the page is wider than paper"
