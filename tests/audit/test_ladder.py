"""Suites are fixed and versioned; the numbers of a ladder mean what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit.ladder_sample import CLEAN, EPISODES, HARM, climb, step, usual
from robo_adv.agents import attackers
from robo_adv.audit.cheapest import cheapest, halving_budget
from robo_adv.audit.ladder import SUITES, Probe, Rung, Suite, find_suite, probes
from robo_adv.audit.ladder_numbers import best, budget_card, interquartile_mean, warnings, worst
from robo_adv.errors import RoboAdvError
from robo_adv.threats.attack import ATTACKS

# The definition of each suite, with what it leaves to its attacks. When one of these differs, results
# of that name can no longer be compared: give the changed suite another version, and add it here.
FROZEN = {
    "quick-v0": "1ebdc81e2c5bc2e0a888e825a1709b0d62fe5ae15fca3847782c288d23068dae",
    "standard-v0": "30286b1be05162dcfc70425ef39894857217f030a92311e82d80f94d2520040f",
    "full-v0": "42ca3884b20767d95b2ebd959327a99d0faa21828b03a1def8acaf44aec4809c",
}
# How learned rungs are trained, outside games and in them: part of what a suite means.
TRAINED = {
    "learning_rate": 1e-3, "gamma": 0.999, "gae_lambda": 0.95, "batch_size": 256, "n_epochs": 10,
    "clip_range": 0.2, "ent_coef": 0.0, "log_std_init": 0.0, "scale_reward": True,
    "net_arch": (64, 64), "activation": "tanh",
}  # fmt: skip
ROLLOUTS = {"outside": (16, 128), "games": (32, 64)}
UNIFORM = Rung("uniform", "uniform", "noise")
CORNER = Rung("corner", "corner", "noise")
PGD = Rung("pgd-20", "pgd", "white-box", "action", {"steps": 20})


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_never_changes_without_another_version(name: str) -> None:
    assert SUITES[name].digest == FROZEN[name]


def test_how_attackers_are_trained_never_changes_without_other_suites() -> None:
    for name, ppo in (("outside", attackers.FOREIGN), ("games", attackers.GAMES)):
        assert (ppo.num_envs, ppo.n_steps) == ROLLOUTS[name]
        assert {key: getattr(ppo, key) for key in TRAINED} == TRAINED
    assert (attackers.SELECTION, attackers.CHECKPOINTS, attackers.NEAR) == (8, 8, 0.99)


def test_another_parameter_another_attack_and_another_order_are_another_suite() -> None:
    suite = Suite("x", {"observation": (CORNER, PGD)})
    others = [
        (PGD, CORNER), (CORNER,), (CORNER, replace(PGD, parameters={"steps": 10})),
        (CORNER, replace(PGD, attack="fgsm", parameters={})),
    ]  # fmt: skip
    digests = {Suite("x", {"observation": rungs}).digest for rungs in others}
    assert len(digests) == 4 and suite.digest not in digests
    usual = Suite("x", {"observation": (CORNER, replace(PGD, parameters={}))})
    assert usual.digest == suite.digest  # 20 steps are what the attack does by default


@pytest.mark.parametrize("suite", SUITES.values(), ids=list(SUITES))
def test_every_rung_is_an_attack_at_its_port_of_the_kind_it_says(suite: Suite) -> None:
    for port, rungs in suite.ports.items():
        assert len({rung.name for rung in rungs}) == len(rungs)
        for rung in rungs:
            kind = ATTACKS[rung.attack]
            assert kind.port == port
            assert rung.row(port, 0.1).attack().norm == ("l2" if port == "force" else "linf")
            if rung.kind != "learned":
                assert (rung.kind == "white-box") == bool(kind.needs), rung.name


def test_a_stated_cost_counts_watching_searching_and_playing() -> None:
    rung = Rung("x", "pgd", "white-box", data=1000, tries=3, each=2)
    steps = 1000 + ((3 + 2 * 4) * 5 + 10) * 100
    assert rung.cost(episodes=10, search=5, horizon=100, actions=4) == (steps, 43 * steps)


def test_unknown_suites_ports_rungs_and_aims_are_refused_with_what_exists() -> None:
    with pytest.raises(RoboAdvError, match="did you mean 'standard-v0'"):
        find_suite("standard")
    suite = find_suite("standard-v0")
    with pytest.raises(RoboAdvError, match="no ladder at port 'opponent'"):
        suite.rungs("opponent")
    with pytest.raises(RoboAdvError, match="did you mean 'pgd-20'"):
        suite.rungs("observation", ("pgd",))
    with pytest.raises(RoboAdvError, match="aims: cost, return, stealth"):
        suite.rungs("observation", ("uniform",), "cost")
    assert [r.name for r in suite.rungs("action", (), "stealth")] == ["action-adversary-stealth"]


def test_the_best_of_the_suite_is_nowhere_better_than_any_single_rung() -> None:
    rng = np.random.default_rng(1)
    steps = [step(rung, rng.normal(60, 40, EPISODES)) for rung in (UNIFORM, CORNER, PGD)]
    returns, success, _ = worst(steps)
    every = np.array([one.cell.returns for one in steps])
    assert (returns <= every).all() and (returns == every).any(axis=0).all()
    assert all((success <= one.cell.outcomes.success).all() for one in steps)
    assert returns.mean() < every.mean(axis=1).min()  # several rungs are the worst somewhere


def test_attacks_on_safety_count_for_safety_and_not_for_the_return() -> None:
    card = budget_card(usual(), 0.1, "return")
    assert card.best == "pgd-20" and card.unsafest == "director-cost"
    assert card.suite.returns.value == pytest.approx(CLEAN.mean() - 70)
    assert card.suite.unsafe.count == 4
    game = budget_card(usual(), 0.1, "safe_success")
    assert game.rung(game.best).numbers.safe_success.count == 0


def test_of_two_rungs_that_leave_no_safe_success_the_one_with_less_return_is_best() -> None:
    found = budget_card(climb(step(UNIFORM, 20.0), step(PGD, 10.0)), 0.1, "safe_success")
    assert best(found.rungs, "safe_success") == "pgd-20"


def test_a_share_is_given_only_where_the_return_without_attack_is_above_zero() -> None:
    found = budget_card(climb(step(PGD, CLEAN / 4)), 0.1, "return").rungs[0].numbers
    assert found.share is not None and found.share.value == pytest.approx(0.25)
    low = climb(step(PGD, CLEAN - 500))
    shifted = replace(low, clean=step(UNIFORM, CLEAN - 200, 0.0))
    assert budget_card(shifted, 0.1, "return").rungs[0].numbers.share is None


def test_the_interquartile_mean_is_that_of_the_middle_half() -> None:
    assert interquartile_mean(np.array([[8.0, 1.0, 100.0, 4.0]])) == pytest.approx(6.0)
    # of five values a quarter cuts the second: (0.75 b + c + 0.75 d) / 2.5
    assert interquartile_mean(np.array([[0.0, 1.0, 2.0, 4.0, 9.0]])) == pytest.approx(5.75 / 2.5)


def test_noise_that_beats_the_gradient_is_a_warning_and_a_usual_ladder_has_none() -> None:
    masked = climb(step(CORNER, CLEAN - 80), step(PGD, CLEAN - 1))
    told = warnings([budget_card(masked, 0.1, "return")])
    assert "black box never beats white box does not hold" in told[0] and "masking" in told[-1]
    assert warnings([budget_card(usual(), 0.1, "return")]) == []


def test_probes_that_break_a_rule_are_found() -> None:
    half = Probe(replace(PGD, name="half"), 0.5)
    harder = Probe(replace(PGD, name="more", parameters={"steps": 40}))
    other = Probe(replace(PGD, name="start 1"), start=1)
    steps = [step(PGD, CLEAN - 20)]
    weak = step(half.rung, CLEAN - 60, 0.05, probe=half)
    more = step(harder.rung, CLEAN - 5, probe=harder)
    start = step(other.rung, CLEAN - 80, probe=other)
    for extra, rule in (
        (weak, "damage grows with the budget"),
        (more, "more steps and starts never help the defender"),
        (start, "several starts agree"),
    ):
        sane = budget_card(climb(*steps, extra), 0.1, "return").sanity
        assert [check.name for check in sane if check.passed is False] == [rule]


def test_probes_double_and_halve_the_budget_only_where_there_is_one() -> None:
    rungs = (UNIFORM, CORNER, PGD)
    assert sorted(p.times for p in probes(rungs, curve=False)) == [0.5, 1.0, 1.0, 1.0, 2.0]
    assert {p.times for p in probes(rungs, curve=True)} == {1.0}
    assert {p.rung.attack for p in probes((UNIFORM, CORNER), curve=False)} == {"corner"}
    assert probes((UNIFORM, HARM), curve=False) == []


def test_the_halving_budget_lies_on_the_line_between_the_budgets_around_it() -> None:
    budgets = (1.0, 2.0)
    curves = np.array([[1.0, 0.8, 0.2], [0.8, 0.0, 0.0], [1.0, 0.9, 0.6], [0.0, 0.0, 0.0]])
    assert halving_budget(curves, budgets) == pytest.approx(
        np.array([1.5, 0.5, np.inf, np.nan]), nan_ok=True
    )


def test_a_port_is_broken_by_its_best_attack_at_each_budget() -> None:
    values = [(UNIFORM, 0.1, 60.0), (PGD, 0.1, 55.0), (UNIFORM, 0.2, 60.0), (PGD, 0.2, 10.0)]
    found = cheapest(climb(*(step(rung, left, budget) for rung, budget, left in values)))
    assert found["best"] == "pgd-20" and found["halved_at"]["value"] == pytest.approx(0.15)
    assert [one["safe_success"]["rate"] for one in found["budgets"]] == [1.0, 0.0]
    ends = found["halved_at"]["low"], found["halved_at"]["high"]
    assert ends == (0.1, 0.2)  # all scenarios agree; what is open is where between two budgets
