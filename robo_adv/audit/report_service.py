"""The section of an audit's report on failure in service: three questions, three answers, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from robo_adv.audit import report_words as words

Numbers = Mapping[str, Any]
MOST_NAMED = 2  # parameters of the most likely failure that its card names, the farthest ones
OUTCOMES = {"unsafe": "unsafe", "frozen": "safe, but no success"}


def served(
    summary: Numbers, film: Callable[[str], dict[str, Any]] = lambda name: {}
) -> dict[str, Any] | None:
    """The section; None without `failure_search`.

    Args:
        film: how a video of the run folder is shown, by its name.
    """
    found = summary.get("failure_search")
    if not found:
        return None
    likely = found.get("most_likely")
    replay = (likely or {}).get("replay") or {}
    time = replay.get("time_to_violation")
    return {
        "cards": [falsified(found), probability(found), most_likely(found)],
        "changed": _changed(likely), "scenario": (likely or {}).get("scenario"),
        "replay": {**replay, "told": OUTCOMES.get(str(replay.get("outcome", "")), "")},
        "film": film(str(replay.get("video") or "")) if replay else {},
        "severity": words.short(replay.get("severity")),
        "time": "" if time in (None, "inf") else words.duration(time),
        "density": found.get("density", ""), "notice": " ".join(_notices(summary)),
        "method": method(found),
    }  # fmt: skip


def falsified(found: Numbers) -> dict[str, str]:
    """Does it fail at all?"""
    plain = found["falsified"]
    failed, jobs = plain["count"], plain["episodes"]
    tried = found["simulations"] - jobs
    told = f"{failed} of {jobs} jobs drawn as in service failed."
    if failed:
        value = "Yes"
    elif plain["found"]:
        value = "Yes, but rarely"
        told = (
            f"None of {jobs} jobs drawn as in service failed; a search of {tried} more found a way."
        )
    else:
        value = "None found"
        told = f"None of {jobs} jobs drawn as in service failed" + (
            f", nor any of {tried} that a search tried." if tried else "."
        )
    return {"label": "Does it fail in service?", "value": value, "detail": told}


def probability(found: Numbers) -> dict[str, str]:
    """How often?"""
    answer, plain = found["probability"], found["falsified"]
    share = answer["probability"]
    value, low, high, many = per(share)
    label = "How often?"
    if answer["method"] == "monte_carlo":
        if not plain["count"]:
            told = f"Of {many} jobs like these fewer than {high} would fail (95{words.GAP}% sure)."
            return {"label": label, "value": f"below {high} in {many}", "detail": told}
        told = f"Of {many} jobs like these about {value} [{low}, {high}] would fail."
        return {"label": label, "value": f"about {value} in {many}", "detail": told}
    least, most = (words.short(1000.0 * words.number(plain[end]), 2) for end in ("low", "high"))
    told = (
        f"Of {many} jobs like these about {value} [{low}, {high}] would fail in the way found. "
        f"For all ways together the plain sample says {least} to {most} in 1000."
    )
    return {"label": label, "value": f"about {value} in {many}", "detail": told}


def per(share: Numbers) -> tuple[str, str, str, str]:
    """A share with its interval as counts, and of how many jobs: 1000, or 1 million where it is rarer
    than that."""
    rare = 0.0 < words.number(share["value"]) < 5e-4
    scale, many = (1e6, f"1{words.GAP}million") if rare else (1e3, "1000")
    value, low, high = (
        words.short(scale * words.number(share[key]), 2) for key in ("value", "low", "high")
    )
    return value, low, high, many


def most_likely(found: Numbers) -> dict[str, str]:
    """The failure nearest to the nominal world."""
    likely, label = found.get("most_likely"), "Most likely failure"
    if not likely:
        return {"label": label, "value": words.NONE, "detail": "No failure was met."}
    if not found.get("parameters"):
        told = "All scenarios are equally likely; this is the one that fails most clearly."
        return {"label": label, "value": f"scenario {likely['scenario']}", "detail": told}
    if not likely["changed"]:
        told = f"It fails without any change of the world, in scenario {likely['scenario']}."
        return {"label": label, "value": "in the nominal world", "detail": told}
    away, changed = words.short(likely["deviations"], 2), likely["changed"]
    least = abs(changed[0]["deviations"]) / 2.0
    chief = [one for one in changed[:MOST_NAMED] if abs(one["deviations"]) >= least]
    named, more = ", ".join(
        f"{one['name']} {_value(one['value'], one['unit'])} instead of {_value(one['nominal'], '')}"
        for one in chief
    ), len(changed) - len(chief)  # fmt: skip
    return {
        "label": label, "value": named + (f" and {more} more" if more > 0 else ""),
        "detail": f"All changes together are {away} standard deviations from the nominal world, in "
        f"scenario {likely['scenario']}; no failure nearer to it was met.",
    }  # fmt: skip


def method(found: Numbers) -> str:
    """How the probability was estimated."""
    answer, plain, all_jobs = found["probability"], found["falsified"], found["simulations"]
    jobs, drawn = words.count(all_jobs), words.count(plain["episodes"])
    told = f"{jobs} jobs were simulated, {drawn} of them plainly. "
    if answer["method"] == "monte_carlo":
        told += "The probability is that of the plain jobs, with its exact 95 % interval"
        return told + (f"; {answer['note']}." if answer.get("note") else ".")
    effective = words.short(answer["effective_failures"], 2)
    regions = answer.get("modes") or 1
    around = "the failure" if regions == 1 else f"{regions} failures"
    return told + (
        f"The probability comes from importance sampling around {around} that a search found: "
        f"{words.count(answer['simulations'])} jobs, weighted back to how likely they are; it rests on "
        f"{effective} effective failures. Failures of other kinds are bounded by the plain jobs alone."
    )


def sentences(found: Numbers) -> list[str]:
    """The three answers for a terminal."""
    likely = most_likely(found)
    return [falsified(found)["detail"], probability(found)["detail"],
            f"{likely['label']}: {likely['value']}. {likely['detail']}"]  # fmt: skip


def _notices(summary: Numbers) -> list[str]:
    """What must be said before the answers."""
    told = [str(summary["failure_search"].get("notice", ""))]
    if summary.get("compare"):
        told.append(f"Only {summary.get('controller', 'the second controller')} was searched.")
    return [text for text in told if text]


def _changed(likely: Numbers | None) -> list[dict[str, Any]]:
    """Rows of the table of parameters."""
    return [
        {
            "name": one["name"], "nominal": _value(one["nominal"], one["unit"]),
            "value": _value(one["value"], one["unit"]),
            "deviations": words.short(one["deviations"], 2), "at": one["deviations"],
        }
        for one in (likely or {}).get("changed", [])
    ]  # fmt: skip


def _value(value: Any, unit: str) -> str:
    told = value if isinstance(value, str) else words.short(value, 4)
    return f"{told}{words.GAP}{unit}" if unit not in ("", "1") else str(told)
