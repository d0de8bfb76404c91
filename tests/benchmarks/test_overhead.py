"""The overhead benchmark's script stays alive, and its arithmetic is right."""

import gc
import importlib
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture(autouse=True)
def _little_to_look_through():
    gc.freeze()  # as in a worker: each turn begins with a collection
    yield
    gc.unfreeze()


def module(name):
    return importlib.import_module(f"benchmarks.{name}")


def small(name="dense"):
    """Return a loop of ten steps."""
    return replace(module("overhead_loops").LOOPS[name], steps=10)


@pytest.mark.parametrize("name", ["dense", "convolutional", "residual"])
def test_watching_ends_with_the_same_bits(name):
    loops = module("overhead_loops")
    bench = loops.Bench(small(name))
    turns = {one: bench.turn(contender, 2) for one, contender in loops.OURS.items()}
    assert len({turn.weights for turn in turns.values()}) == 1
    assert all(turn.cpu_s > 0 for turn in turns.values())
    assert turns["bare"].weights != bench.turn(loops.bare, 3).weights, "the check sum sees a further step"


def test_only_the_turn_is_timed(monkeypatch):
    loops, clock = module("overhead_loops"), [0.0]
    monkeypatch.setattr(loops.time, "process_time", lambda: clock[0])
    reads = []

    def contender(network, criterion, optimizer, steps):
        def step(inputs, targets):
            clock[0] += 1.0

        def read():
            reads.append(clock[0])
            clock[0] += 5.0

        class Held:
            def __enter__(self):
                clock[0] += 100.0
                return loops.Run(step, read)

            def __exit__(self, *_):
                clock[0] += 100.0

        return Held()

    turn = loops.Bench(small()).turn(contender, 10)
    assert turn.cpu_s == (10 + 5) / 10
    assert reads == [100.0 + loops.WARM, 100.0 + loops.WARM + 5 + 10]


def test_a_turn_is_watched_for_whole_windows(monkeypatch):
    loops, windows = module("overhead_loops"), []
    import equipoise.vitals.watch as watching

    original = watching.watch
    monkeypatch.setattr(
        watching, "watch", lambda *given, **options: original(*given, **options, on_window=windows.append)
    )
    loops.Bench(small()).turn(loops.watched(1), 10)
    assert [len(one.steps) for one in windows] == [loops.WARM, 10]
    assert windows[1].steps.tolist() == list(range(1 + loops.WARM, 11 + loops.WARM))


def test_every_loop_is_what_its_title_says():
    for name, loop in module("overhead_loops").LOOPS.items():
        out = loop.network()(torch.zeros(2, *loop.shape))
        assert out.shape == (2, 10)
        assert loop.steps % 10 == 0
        bar = 1.10 if name == "dense" else 1.06
        assert loop.every_step == bar


def test_the_small_residual_network_has_eight_layers_with_weights():
    network = module("overhead_loops").small_residual_network()
    convolutions = [one for one in network.modules() if isinstance(one, (torch.nn.Conv2d, torch.nn.Linear))]
    inside_shortcuts = 2
    assert len(convolutions) - inside_shortcuts == 8


def test_the_ratio_is_the_median_of_pairs():
    overhead = module("overhead")
    rng = np.random.default_rng(0)
    speed = rng.uniform(1, 3, 30)  # the machine's mood, the same for both turns of a round
    row = overhead.ratio((1.05 * speed).tolist(), speed.tolist())
    assert (row["value"], row["low"], row["high"]) == pytest.approx((1.05, 1.05, 1.05))
    assert row["n"] == 30
    few = overhead.ratio([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    assert (few["value"], few["low"], few["high"]) == (2.0, 1.0, 3.0)


def test_the_interval_covers_the_true_ratio_as_often_as_it_says():
    overhead, hits, trials = module("overhead"), 0, 400
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        bare = rng.lognormal(0, 0.3, 30)
        row = overhead.ratio((1.04 * bare * rng.lognormal(0, 0.05, 30)).tolist(), bare.tolist())
        hits += row["low"] <= 1.04 <= row["high"]
    assert hits / trials > 0.95 - 3 * math.sqrt(0.05 * 0.95 / trials)


def test_sums_show_what_a_median_hides():
    row = module("overhead").ratio([1.0] * 8 + [3.0] * 2, [1.0] * 10)
    assert row["value"] == 1.0
    assert row["of_sums"] == pytest.approx(1.4)


def measured(every, control=1.0, noise=0.001, rounds=30):
    rng = np.random.default_rng(1)
    bare = rng.uniform(1e-3, 2e-3, rounds)
    factors = {"bare": 1.0, "control": control, "every step": every, "every tenth": 1.0}
    times = {
        name: (bare * factor * (1 + (name != "bare") * noise * rng.standard_normal(rounds))).tolist()
        for name, factor in factors.items()
    }
    return {"cpu_s_a_step": times, "same_weights": dict.fromkeys(factors, True), "steps_a_turn": 10, "took_s": 1.0}


@pytest.mark.parametrize(
    ("every", "control", "noise", "wanted"),
    [
        (1.05, 1.0, 0.001, "holds"),
        (1.20, 1.0, 0.001, "broken"),
        (1.10, 1.0, 0.005, "unsure"),
        (1.05, 1.03, 0.001, "void"),
        (1.05, 1.0, 0.08, "void"),
    ],
)
def test_verdicts(every, control, noise, wanted):
    row = module("overhead").summary(measured(every, control, noise), "dense")
    assert row["bars"]["every step"]["verdict"] == wanted
    assert row["extra_us_a_step"]["every step"] == pytest.approx((every - 1) * 1500, rel=0.3, abs=30)


def test_a_measurement_is_repeated_until_its_control_holds(monkeypatch):
    overhead = module("overhead")
    answers = iter([measured(1.0, control=1.05), measured(1.0), measured(9.0)])
    monkeypatch.setattr(overhead, "run_worker", lambda python, task: next(answers))
    row = overhead.measure_ours("dense", 1, 30, tries=3)
    assert row["control_holds"]
    assert [one["ratios"]["control"]["value"] for one in row["earlier_tries"]] == [pytest.approx(1.05, rel=1e-3)]


def test_after_the_last_try_a_void_measurement_stays_void(monkeypatch):
    overhead = module("overhead")
    monkeypatch.setattr(overhead, "run_worker", lambda python, task: measured(1.0, control=1.05))
    row = overhead.measure_ours("dense", 1, 30, tries=2)
    assert row["bars"]["every tenth"]["verdict"] == "void"
    assert len(row["earlier_tries"]) == 1


@pytest.mark.parametrize(("extra", "verdict"), [(8e6, "holds"), (9e6, "broken")])
def test_memory_may_grow_by_two_percent_and_two_megabytes(monkeypatch, extra, verdict):
    overhead = module("overhead")

    def run_worker(python, task):
        return {"peak_bytes": 325e6 + (extra if task["contender"] == "every step" else 0)}

    monkeypatch.setattr(overhead, "run_worker", run_worker)
    row = overhead.measure_memory("dense")
    assert row["at_most_bytes"] == 325e6 * 0.02 + 2e6
    assert row["verdict"] == verdict


def test_a_peer_that_is_absent_or_breaks_is_told(monkeypatch):
    worker, peers = module("overhead_worker"), module("overhead_peers")
    gone = peers.Peer("no-such-package", "no_such_module", "nothing", lambda stack: None)
    monkeypatch.setitem(worker.PEERS, "gone", gone)
    task = {"what": "peers", "peer": "gone", "threads": [1], "loops": ["dense"], "rounds": 2, "limit_s": 60}
    assert worker.work(task) == {"not_installed": "no-such-package"}

    def breaks(network, criterion, optimizer, steps):
        raise TypeError("cannot watch this network")

    bad = peers.Peer("numpy", "numpy", "nothing", lambda stack: breaks)
    monkeypatch.setitem(worker.PEERS, "bad", bad)
    monkeypatch.setitem(worker.LOOPS, "dense", small())
    row = worker.work(task | {"peer": "bad"})
    assert row == {"dense 1": {"failed": "TypeError: cannot watch this network"}}


def test_a_slow_peer_takes_fewer_steps_and_rounds(monkeypatch):
    worker, loops = module("overhead_worker"), module("overhead_loops")
    asked = []

    class Bench:
        def __init__(self, loop):
            pass

        def turn(self, contender, steps):
            asked.append((contender, steps))
            return loops.Turn(0.02 if contender == "slow" else 0.001, 0)

    monkeypatch.setattr(worker, "Bench", Bench)
    row = worker.measure_peer("slow", "dense", 30, 60, "slow")
    assert row["steps_a_turn"] == {"bare": 200, "slow": 10}
    assert len(row["cpu_s_a_step"]["slow"]) == 10
    assert asked[4:8] == [(loops.bare, 200), ("slow", 10), ("slow", 10), (loops.bare, 200)]


def test_on_a_busy_machine_a_measurement_ends_early_and_is_void(monkeypatch):
    worker, loops, overhead = module("overhead_worker"), module("overhead_loops"), module("overhead")
    clock = [0.0]
    monkeypatch.setattr(worker.time, "perf_counter", lambda: clock[0])

    class Bench:
        def __init__(self, loop):
            pass

        def turn(self, contender, steps):
            clock[0] += 5.0
            return loops.Turn(0.001, 0)

    monkeypatch.setattr(worker, "Bench", Bench)
    assert len(worker.measure_ours("dense", 30, 0)["cpu_s_a_step"]["bare"]) == worker.LEAST
    done = worker.measure_ours("dense", 30, 200)
    assert len(done["cpu_s_a_step"]["bare"]) == 10  # 20 s a round, after 20 s of warm-up
    assert overhead.summary(done, "dense")["bars"]["every step"]["verdict"] == "void"


def test_the_whole_run_writes_a_record(monkeypatch, tmp_path, capsys):
    overhead, worker = module("overhead"), module("overhead_worker")
    monkeypatch.setitem(worker.LOOPS, "dense", small())
    monkeypatch.setattr(worker.torch, "set_num_threads", lambda threads: None)
    absent = replace(overhead.PEERS["torchmortem"], module="no_such_module")
    monkeypatch.setattr(overhead, "PEERS", {"torchmortem": absent})
    monkeypatch.setattr(worker, "PEERS", {"torchmortem": absent})
    monkeypatch.setattr(overhead, "run_worker", lambda python, task: worker.work(task) | {"took_s": 0.0})
    out = tmp_path / "record.json"
    options = ["--only", "dense", "--threads", "1", "--rounds", "6", "--tries", "1", "--out", str(out)]
    overhead.main(options)
    record = json.loads(out.read_text())
    (row,) = record["ours"]
    assert len(row["cpu_us_a_step"]["bare"]) == 6
    assert all(row["same_weights"].values())
    assert record["memory"]["dense"]["verdict"] in ("holds", "broken")
    assert record["versions"]["ours"]["torch"] == torch.__version__
    printed = capsys.readouterr().out
    assert "every tenth" in printed
    assert "not installed" in printed


def test_a_worker_runs_in_a_process_of_its_own(monkeypatch):
    overhead = module("overhead")
    given = {}

    def run(command, **options):
        given.update(options, command=command)
        return SimpleNamespace(returncode=1, stderr="Traceback\nValueError: no\n")

    monkeypatch.setattr(overhead.subprocess, "run", run)
    done = overhead.run_worker("python3", {"what": "ours", "loop": "dense", "threads": 2, "rounds": 1})
    assert done == {"failed": "ValueError: no"}
    assert given["command"][:3] == ["python3", "-m", "benchmarks.overhead_worker"]
    assert given["env"]["OMP_NUM_THREADS"] == "2"
    assert given["env"]["PYTHONPATH"] == str(ROOT)
