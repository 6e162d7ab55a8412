"""The report in a real browser: no errors, pictures and videos load, tables sort, nothing is cut."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from audit import report_sample as sample
from robo_adv.audit.report import write_audit_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason=f"no browser: none of {NAMES} on the path"
)
WITH_HEAD = {"pairs", "all"}
# Runs in the page, before its policy of content holds; what it finds is written into the page.
PROBE = """<script>
const errors = [];
const told = (e) => errors.push(String(e.message || e.target.outerHTML.slice(0, 80)));
addEventListener("error", told, true);
addEventListener("securitypolicyviolation", (e) => errors.push(e.violatedDirective));
console.error = (...words) => errors.push(words.join(" "));
const until = async (done) => {
  for (let i = 0; i < 100 && !done(); i++) await new Promise((r) => setTimeout(r, 50));
};
const key = (cell) => cell.dataset.v ?? cell.textContent.trim();
addEventListener("load", async () => {
  const videos = [];
  for (const video of document.querySelectorAll("video")) {
    await until(() => video.readyState >= 2);
    await video.play().catch((e) => errors.push(String(e)));
    await until(() => video.currentTime > 0 || video.ended);
    videos.push([video.videoWidth, video.videoHeight, video.currentTime, video.duration]);
  }
  const sorted = {};
  for (const table of document.querySelectorAll("table.sortable")) {
    const column = (i) => [...table.tBodies[0].rows].map((row) => key(row.cells[i]));
    sorted[table.id] = [...table.tHead.rows[0].cells].map((head, i) => {
      const button = head.querySelector("button");
      if (!button) return null;
      button.focus();
      const reached = document.activeElement === button;
      button.click();
      const up = [head.getAttribute("aria-sort"), column(i)];
      button.click();
      return { name: head.textContent, reached, up, down: [head.getAttribute("aria-sort"), column(i)] };
    });
  }
  const cut = [...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll, svg")
    && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80));
  const images = [...document.images].map((i) => i.naturalWidth);
  const pre = parent.document.createElement("pre");
  pre.id = "width-" + innerWidth;
  pre.textContent = JSON.stringify({ errors, videos, images, sorted, cut, width: innerWidth,
    beyond: document.documentElement.scrollWidth - innerWidth });
  parent.document.body.append(pre);
});
</script>"""


def opened(page: Path, widths: tuple[int, ...]) -> dict[int, dict[str, Any]]:
    """What the probe says of `page` at each width [px]; in frames, as no window is below 500 px."""
    assert BROWSER is not None
    probed = page.read_text(encoding="utf-8").replace("<head>", f"<head>{PROBE}", 1)
    frames = "".join(
        f'<iframe srcdoc="{html.escape(probed)}" style="width:{w}px;height:900px;border:0"></iframe>'
        for w in widths
    )
    outer = page.with_name("frames.html")
    outer.write_text(f"<!doctype html><meta charset=utf-8>{frames}", encoding="utf-8")
    done = subprocess.run(
        [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1600,900",
         "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={page.parent / 'profile'}",
         "--virtual-time-budget=30000", "--dump-dom", outer.as_uri()],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    found = re.findall(r'<pre id="width-(\d+)">(.*?)</pre>', done.stdout, re.DOTALL)
    assert len(found) == len(widths), done.stderr[-2000:]
    return {int(width): json.loads(html.unescape(text)) for width, text in found}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("audit")
    sample.film(folder / "videos" / "a.mp4")
    sample.film(folder / "videos" / "b.gif")
    audit = sample.audit_of(20)
    films = [*sample.failures(), {**sample.failures("videos/b.gif")[0], "scenario": 18}]
    compare = {"baseline": sample.summary_of(sample.audit_of(20), "before"), "cells": []}
    summary = sample.summary_of(
        audit, failures=films, error_profile=sample.profile(), compare=compare
    )
    path = folder / "report.html"
    write_audit_report(path, summary, sample.cells_of(audit), folder)
    return opened(path, (1400, 380))


@needs_browser
@pytest.mark.slow
def test_a_browser_reports_no_error_and_nothing_is_wider_than_the_page(
    seen: dict[int, dict[str, Any]],
) -> None:
    assert set(seen) == {1400, 380}
    for width, page in seen.items():
        assert page["width"] == width
        assert page["errors"] == [] and page["cut"] == [] and page["beyond"] <= 0


@needs_browser
@pytest.mark.slow
def test_pictures_load_and_videos_play(seen: dict[int, dict[str, Any]]) -> None:
    for page in seen.values():
        ((width, height, time, duration),) = page["videos"]
        assert (width, height) == (320, 120) and time > 0.0 and duration > 0.9
        assert page["images"] == [320]


@needs_browser
@pytest.mark.slow
def test_every_table_sorts_by_every_column_both_ways_from_the_keyboard(
    seen: dict[int, dict[str, Any]],
) -> None:
    for width, page in seen.items():
        assert set(page["sorted"]) == WITH_HEAD | {"port-table", "profile-table", "search-table"}
        for name, table in page["sorted"].items():
            for column in filter(None, table):
                # On narrow screens small tables are stacked and have no head to click.
                assert column["reached"] == (width == 1400 or name in WITH_HEAD), column["name"]
                (up, rising), (down, falling) = column["up"], column["down"]
                assert (up, down) == ("ascending", "descending")
                assert in_order(rising) and in_order(falling[::-1]), column["name"]
        shares = next(c for c in page["sorted"]["all"] if c["name"].startswith("Safe"))
        assert len(set(shares["up"][1])) > 5  # there was something to sort


def in_order(texts: list[str]) -> bool:
    """Numbers rise; of words, which browsers sort by the rules of a language, the ends do."""
    try:
        numbers = [float(text) for text in texts]
        return numbers == sorted(numbers)
    except ValueError:
        return texts[0].casefold() <= texts[-1].casefold()
