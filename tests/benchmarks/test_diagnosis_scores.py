"""The arithmetic of the diagnosis benchmark on verdicts made by hand, and its whole run on small programs."""

import importlib
import json
import math
import time
from pathlib import Path

import pytest
from small_programs import written

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def module(name):
    return importlib.import_module(f"benchmarks.{name}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("programs"))


def said(case, version, *causes, healthy=None, seconds=1.0, seed=0, tool="umlaut", error=None):
    named = [{"fault": fault, "where": where} for fault, where in causes]
    healthy = (not named if healthy is None else healthy) if error is None else None
    return {"tool": tool, "case": case, "version": version, "seed": seed, "plain": False, "healthy": healthy,
            "causes": named, "seconds": seconds, "allowed_s": 20.0, "error": error}  # fmt: skip


@pytest.fixture
def known():
    truth = module("diagnosis_scores").Truth
    places = ("layer:2", "optimizer.*")
    return {
        ("a", "faulty"): truth("strong", ("lr_too_high", "dying_relu"), ("wrong_optimizer",), places),
        ("b", "faulty"): truth("strong", ("no_shuffle",), (), ("loop.order",)),
        ("c", "faulty"): truth("weak", ("overfitting",), (), ("loop.epochs",)),
        ("a", "fixed"): truth("control"),
        ("b", "fixed"): truth("other", acceptable=("wrong_labels",)),
        ("d", "fixed"): truth("control"),
    }


def scores(verdicts, known):
    return module("diagnosis_scores").scores(verdicts, known)


def hits(table, group="strong"):
    return {name: (one["hits"], one["n"]) for name, one in table[group].items()}


def test_a_first_cause_that_is_a_fault_is_right_and_only_the_first_fault_is_the_main_one(known):
    table = scores([said("a", "faulty", ("dying_relu", "layer:2"), ("lr_too_high", "optimizer.lr"))], known)
    assert hits(table) == {
        "recall": (1, 1), "first": (1, 1), "three": (1, 1), "main_first": (0, 1), "first_or_acceptable": (1, 1),
        "three_or_acceptable": (1, 1), "place_first": (1, 1), "place_three": (1, 1),
    }  # fmt: skip


def test_an_acceptable_word_is_fair_and_not_right(known):
    table = scores([said("a", "faulty", ("wrong_optimizer", "inputs"), ("x", "y"), ("z", "optimizer.eps"))], known)
    assert hits(table)["first"] == hits(table)["three"] == (0, 1)
    assert hits(table)["first_or_acceptable"] == hits(table)["three_or_acceptable"] == (1, 1)
    assert hits(table)["place_first"] == (0, 1)
    assert hits(table)["place_three"] == (1, 1), "any field of the optimiser is allowed"


def test_only_three_causes_count(known):
    causes = [("x", "a"), ("y", "b"), ("z", "c"), ("no_shuffle", "loop.order")]
    table = scores([said("b", "faulty", *causes)], known)
    assert hits(table)["recall"] == (1, 1)
    assert hits(table)["three"] == hits(table)["place_three"] == (0, 1)


def test_a_missed_program_is_wrong_in_every_column(known):
    table = scores([said("a", "faulty"), said("b", "faulty", ("no_shuffle", "loop.order"))], known)
    assert set(hits(table).values()) == {(1, 2)}
    assert table["strong"]["recall"]["programs"] == 2


def test_no_verdict_is_a_miss_and_no_alarm_and_counted(known):
    table = scores([said("a", "faulty", error="died"), said("a", "fixed", error="died"), said("d", "fixed")], known)
    assert hits(table)["recall"] == (0, 1)
    assert hits(table, "control")["alarm"] == (0, 2)
    assert table["failures"] == 2


def test_groups_are_scored_apart(known):
    verdicts = [
        said("a", "faulty", ("lr_too_high", "optimizer.lr")), said("c", "faulty"), said("a", "fixed"),
        said("d", "fixed", ("inputs", "x")), said("b", "fixed", ("wrong_labels", "targets")),
        said("b", "fixed", ("no_shuffle", "loop.order"), seed=1),
    ]  # fmt: skip
    table = scores(verdicts, known)
    assert hits(table)["recall"] == (1, 1)
    assert hits(table, "weak")["recall"] == (0, 1)
    assert hits(table, "control")["alarm"] == (1, 2)
    assert hits(table, "other") == {"alarm": (2, 2), "unfair_alarm": (1, 2)}
    assert table["balance"] == pytest.approx(1 - 0.5)


def test_shares_have_the_wilson_interval(known):
    verdicts = [said("a", "faulty", ("lr_too_high", "x"), seed=k) for k in range(9)] + [said("a", "faulty", seed=9)]
    share = scores(verdicts, known)["strong"]["recall"]
    z, p, n = 1.959964, 0.9, 10
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert share["value"] == 0.9
    assert (share["low"], share["high"]) == pytest.approx(
        ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)), abs=1e-4
    )


def test_seconds_and_the_allowance(known):
    verdicts = [said("a", "fixed", seconds=one, seed=k) for k, one in enumerate((1.0, 2.0, 3.0, 40.0))]
    took = scores(verdicts, known)["seconds"]
    assert (took["n"], took["median"], took["most"], took["within"]["value"]) == (4, 2.5, 40.0, 0.75)


def test_truth_comes_from_the_facts(folder):
    package = module("diagnosis_programs").load(folder)
    wanted = [
        ("plain", "faulty"),
        ("accumulates", "faulty"),
        ("replaced", "fixed"),
        ("fine", "fixed"),
        ("remade", "faulty"),
    ]
    known = module("diagnosis_scores").truths(package, wanted)
    assert known["plain", "faulty"].places == ("optimizer.lr",)
    assert known["accumulates", "faulty"].acceptable == ("lr_too_high",)
    assert known["remade", "faulty"].group == "weak"
    assert known["replaced", "fixed"].group == "other", "it keeps a lesser fault"
    assert known["replaced", "fixed"].acceptable == ("batch_size_too_small",)
    assert known["fine", "fixed"].group == "control"


def test_the_list_names_what_is_not_right(known):
    verdicts = [
        said("a", "faulty"), said("b", "faulty", ("lr_too_high", "loop.order")), said("d", "fixed", ("x", "y")),
        said("a", "fixed"), said("b", "faulty", ("no_shuffle", "loop.order"), seed=1),
        said("c", "faulty", error="died"),
    ]  # fmt: skip
    lines = module("diagnosis_scores").listing(verdicts, known).splitlines()
    assert len(lines) == 4
    for word in ("MISSED", "wrong fault", "FALSE ALARM (control)", "NO VERDICT"):
        assert sum(word in line for line in lines) == 1


def test_the_benchmark_runs_writes_and_resumes(folder, tmp_path, capsys):
    benchmark, out = module("diagnosis"), tmp_path / "record.json"
    asked = ["--programs", str(folder), "--tools", "umlaut", "--seeds", "1", "--out", str(out)]
    assert benchmark.main([*asked, "--only", "plain", "--list"]) == 0
    record = json.loads(out.read_text())
    assert {(one["case"], one["version"]) for one in record["verdicts"]} == {("plain", "faulty"), ("plain", "fixed")}
    faulty = next(one for one in record["verdicts"] if one["version"] == "faulty")
    assert "lr_too_high" in [one["fault"] for one in faulty["causes"]]
    assert faulty["error"] is None
    assert faulty["seconds"] > 0
    assert set(record) >= {"machine", "versions", "command", "scores", "truths", "verdicts"}
    assert "umlaut" in capsys.readouterr().out
    faulty["causes"][0]["fault"] = "kept"
    out.write_text(json.dumps(record))
    assert benchmark.main([*asked, "--only", "plain", "fine", "--resume", str(out)]) == 0
    again = json.loads(out.read_text())["verdicts"]
    assert len(again) == 3
    assert "kept" in [one["fault"] for row in again for one in row["causes"]], "what is there is not run again"
    with pytest.raises(SystemExit, match=r"got --only nothing; expected ids"):
        benchmark.main([*asked, "--only", "nothing"])


def works(job):
    """Serve as a tool that answers, fails, hangs or dies."""
    if job["does"] == "raise":
        raise ValueError("broken")
    if job["does"] == "hang":
        time.sleep(60)
    if job["does"] == "die":
        import os

        os._exit(3)
    return {"answer": {"healthy": True}, "seconds": 0.0}


def test_a_call_that_fails_hangs_or_dies_is_no_verdict_and_the_others_go_on():
    does = ("answer", "raise", "die", "hang", "answer")
    jobs = [{"does": one, "patience_s": 1.0 if one == "hang" else 300.0} for one in does]
    found = [(job["does"], result) for job, result in module("diagnosis_workers").results(jobs, works, 1)]
    assert [one for one, _ in found] == [*does]
    errors = [result.get("error") for _, result in found]
    assert errors == [None, "ValueError: broken", "the process died", "no verdict after 1 s", None]
