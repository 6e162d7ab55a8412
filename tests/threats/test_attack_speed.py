"""`robo-adv bench attacks`: all toolboxes get the same problem, and targets are judged right."""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from rich.console import Console

from robo_adv.agents import attack_speed
from robo_adv.agents.rivals import Rival, art_pgd, foolbox_pgd
from robo_adv.cli import bench, main

Array = npt.NDArray[Any]
N = 32


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@cache
def small() -> attack_speed.Bench:
    return attack_speed.prepare(N, steps=3)


def in_the_ball(shown: Array) -> bool:
    """Whether nothing moved by more than a radius, up to what 32 bits of an observation resolve."""
    slack = 1e-6 * np.abs(small().clean) + 1e-4 * small().radius
    return bool((np.abs(shown - small().clean) <= small().radius + slack).all())


def same_loss_as_ours(work: Any) -> None:
    problem = small().problem()
    torch.manual_seed(0)
    np.random.seed(0)
    shown = work()
    assert shown.shape == small().clean.shape and in_the_ball(shown)
    ours = problem.loss(attack_speed.attacks(small())["PGD-20"]())
    assert problem.loss(shown) == pytest.approx(ours, rel=0.25)


def test_other_toolboxes_get_the_same_function_in_units_of_the_radius() -> None:
    problem = small().problem()
    x = torch.as_tensor(problem.scaled())
    wanted, _ = small().policy.predict(small().clean, None, None, True)
    assert np.allclose(problem.module()(x).clamp(-1, 1), wanted, atol=1e-4)
    moved = problem.clean + problem.radius
    away = problem.module()(x + 1.0) - problem.module()(x)
    assert problem.loss(moved) == pytest.approx(float(away.square().sum(dim=1).mean()), rel=1e-3)
    assert problem.loss(problem.clean) == 0.0


def test_our_attacks_keep_to_the_ball_and_beat_its_corners() -> None:
    problem, losses = small().problem(), {}
    for name, work in attack_speed.attacks(small()).items():
        shown = work()
        assert in_the_ball(shown), name
        losses[name] = problem.loss(shown)
    corner = np.where(np.random.default_rng(0).random(problem.clean.shape) < 0.5, -1.0, 1.0)
    noise = problem.loss(problem.clean + problem.radius * corner)
    assert 2 * noise < losses["FGSM"] < losses["PGD-20"]


@pytest.mark.slow
def test_foolbox_solves_the_same_problem() -> None:
    pytest.importorskip("foolbox")
    same_loss_as_ours(foolbox_pgd(small().problem()))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, N])
def test_art_solves_the_same_problem(rows: int) -> None:
    pytest.importorskip("art")
    same_loss_as_ours(art_pgd(small().problem(), rows))


def test_works_are_measured_in_turns_and_short_ones_repeatedly() -> None:
    order: list[str] = []

    def long() -> None:
        order.append("long")
        sum(range(300_000))

    works = {"short": lambda: order.append("short"), "long": long}
    found = attack_speed.in_turns(works, rounds=3, least=1e-3)
    assert {name: len(seconds) for name, seconds in found.items()} == {"short": 3, "long": 3}
    turns = [a for a, b in zip(order, [*order[1:], ""], strict=True) if a != b]
    assert turns == ["short", "long"] * 4  # the first turn finds how often
    assert order.count("short") > order.count("long")
    assert max(found["short"]) < min(found["long"])


def test_the_bench_prints_a_row_per_attack_and_writes_a_run_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(attack_speed, "prepare", small)
    quick = partial(attack_speed.compare, rounds=1)
    monkeypatch.setattr(attack_speed, "compare", quick)
    assert main.run(["bench", "attacks", "--rivals", "--json"]) == 0
    assert torch.get_num_threads() == threads
    data = json.loads(capsys.readouterr().out)
    rows = data["results"]
    under = ["controller under FGSM", "controller under PGD-20"]
    assert list(rows) == ["controller", *under, "FGSM", "PGD-20"]
    assert rows["controller"]["controller_calls"] == 1.0
    assert [name for name in rows if "loss" in rows[name]] == ["FGSM", "PGD-20"]
    assert all(row["us_per_observation"] > 0 for row in rows.values())
    summary = json.loads((Path(data["folder"]) / "summary.json").read_text())
    assert summary["results"] == rows


def test_what_misses_its_target_is_marked(tmp_path: Path) -> None:
    def mine(ratio: float) -> dict[str, float]:
        return {"us_per_observation": 1.0, "controller_calls": ratio, "loss": 0.5}

    def rival(ratio: float) -> dict[str, float]:
        return {"us_per_observation": 1.0, "times_ours": ratio, "loss": 0.5}

    def missed(rows: dict[str, dict[str, float]]) -> list[str]:
        with (tmp_path / "out.txt").open("w") as file:
            console = Console(record=True, width=140, file=file)
            bench.print_attacks(console, rows)
        lines = console.export_text().splitlines()
        return [name for name in rows if any(name in x and "MISSED" in x for x in lines)]

    by_row, batch = "ART PGD-20, row by row", "ART PGD-20, one batch"
    good = {"FGSM": mine(4.0), "PGD-20": mine(30.0), "Foolbox PGD-20": rival(1.0)}
    assert missed({**good, by_row: rival(10.0), batch: rival(0.1)}) == []
    bad = {"FGSM": mine(4.1), "PGD-20": mine(31.0), "Foolbox PGD-20": rival(0.9)}
    assert missed({**bad, by_row: rival(9.0)}) == [*bad, by_row]


@pytest.mark.parametrize("rival", ["foolbox", "art"])
def test_without_a_toolbox_the_extra_is_named(
    rival: Rival, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main.run(["bench", "attacks", "--rivals", rival]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "robo-adv[rivals]" in err and rival in err
    assert not list(Path().iterdir())


def test_a_toolbox_that_cannot_be_imported_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "foolbox.py").write_text("raise ImportError('no git executable')")
    monkeypatch.syspath_prepend(packages)
    monkeypatch.delitem(sys.modules, "foolbox", raising=False)
    assert main.run(["bench", "attacks", "--rivals", "foolbox"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "no git executable" in err and "--rivals" in err
    assert list(tmp_path.iterdir()) == [packages]
