"""A report is one file that needs nothing else and trusts no text in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run
from robo_adv.safety import report
from robo_adv.safety.plots import training_plot, wall_seconds
from robo_adv.safety.report import (
    Film,
    Provenance,
    Rates,
    Row,
    Section,
    Text,
    Training,
    write_report,
)
from robo_adv.safety.statistics import Rate

EVIL = "<script>alert('x')</script>"
METRICS = [
    {"steps": 1000 * k, "wins": float(k), "episodes": 50.0, "steps_per_second": 500}
    for k in range(1, 31)
]


class Page(HTMLParser):
    """Tags and their attributes, and the text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [v for _, attributes in self.tags if (v := attributes.get(name)) is not None]


def everything(folder: Path) -> list[Section]:
    film = folder / "videos" / "a.mp4"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"not really a video")
    run = Run.create("Game", "demo", {"victim": EVIL}, 7, folder / "runs")
    return [
        Text("Question", [EVIL, "second"]),
        Rates("Rates", [Row(EVIL, Rate(30, 100), EVIL), Row("key", Rate(3, 100), key=True)]),
        Training("Training", METRICS),
        Film("Video", film, EVIL),
        Provenance("Provenance", run, {"scenario seeds": "1..100"}),
    ]


def test_a_report_needs_no_other_file_no_script_and_no_network(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", "Title", everything(tmp_path))
    page = Page(tmp_path / "report.html")
    assert "http" not in re.sub(r'"data:[^"]*"', '""', page.source)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    assert page.values("src") and all(v.startswith("data:") for v in page.values("src"))
    assert not page.values("href")
    assert not [n for _, attributes in page.tags for n in attributes if n.startswith("on")]


def test_names_and_texts_are_escaped_everywhere(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", EVIL, everything(tmp_path), EVIL)
    page = Page(tmp_path / "report.html")
    assert "<script" not in page.source
    assert page.text.count(EVIL) >= 6  # title twice, subtitle, paragraph, label, note, caption


def test_rates_are_told_in_numbers_and_drawn_to_scale(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", "T", [Rates("R", [Row("one", Rate(30, 100))])])
    page = Page(tmp_path / "report.html")
    assert "30.0 %" in page.text and "[21.2, 40.0]" in page.text and "30 of 100" in page.text
    bars = [a for tag, a in page.tags if tag == "rect"]
    assert bars[1]["width"] == "30.0"
    whisker = next(a for tag, a in page.tags if tag == "line")
    assert (whisker["x1"], whisker["x2"]) == ("21.2", "40.0")


def test_provenance_holds_versions_command_config_and_seeds(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", "T", everything(tmp_path))
    text = Page(tmp_path / "report.html").text
    for fact in ("mujoco", "torch", "scenario seeds", "1..100", "victim", "command"):
        assert fact in text


def test_a_large_video_is_linked_by_a_path_relative_to_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "EMBED_BELOW", 5)
    film = tmp_path / "videos" / "javascript:a b.mp4"
    film.parent.mkdir()
    film.write_bytes(b"0123456789")
    write_report(tmp_path / "report.html", "T", [Film("V", film)])
    assert Page(tmp_path / "report.html").values("href") == ["videos/javascript%3Aa%20b.mp4"]


def test_a_gif_is_shown_as_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    write_report(tmp_path / "report.html", "T", [Film("V", tmp_path / "a.gif")])
    assert Page(tmp_path / "report.html").values("src")[0].startswith("data:image/gif;base64,")


def test_a_missing_video_is_an_error_and_no_report_is_written(tmp_path: Path) -> None:
    with pytest.raises(RoboAdvError, match="no video at"):
        write_report(tmp_path / "report.html", "T", [Film("V", tmp_path / "a.mp4")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("metrics", [[], [{"steps": 5}], METRICS[:1], METRICS * 10])
def test_a_training_plot_takes_any_number_of_lines(metrics: list[dict[str, Any]]) -> None:
    assert training_plot(metrics).startswith(b"\x89PNG")


def test_wall_time_is_read_or_follows_from_the_mean_speed() -> None:
    lines: list[dict[str, float]] = [
        {"steps": 1000, "steps_per_second": 500},
        {"steps": 3000, "seconds": 9.0},
    ]
    assert list(wall_seconds(lines)) == [2.0, 9.0]
