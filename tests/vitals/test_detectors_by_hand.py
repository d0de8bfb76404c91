"""Detectors on windows made by hand: what is a fault, what only looks like one, and what each may not say."""

import math
from dataclasses import replace

import numpy as np
import pytest
from detector_cases import alarms, made, watched

from equipoise.core.estimate import Verdict
from equipoise.vitals.detectors.all import all_detectors
from equipoise.vitals.detectors.constant import CollapsedActivations
from equipoise.vitals.detectors.depth import ExplodingGradient, VanishingGradient
from equipoise.vitals.detectors.depth_profile import decay
from equipoise.vitals.detectors.divergence import Divergence
from equipoise.vitals.detectors.mode import WrongMode
from equipoise.vitals.detectors.no_gradient import NoGradient
from equipoise.vitals.detectors.nonfinite import NonFinite
from equipoise.vitals.detectors.optimizer_link import ReplacedParameters, StaleOptimizer
from equipoise.vitals.detectors.order import FixedOrder
from equipoise.vitals.detectors.oscillation import Oscillation
from equipoise.vitals.detectors.plateau import Plateau
from equipoise.vitals.detectors.pool import Pool, merged
from equipoise.vitals.detectors.regulariser import RegulariserDominating
from equipoise.vitals.detectors.step_size import StepTooSmall
from equipoise.vitals.detectors.units import DeadUnits, SaturatedUnits
from equipoise.vitals.detectors.zero_grad import MissingZeroGrad
from equipoise.vitals.window import Event, Layer, Weights, Window


def deep(gradients: list[float], **others) -> Window:
    """Return a window of a stack of linear layers with these gradient norms."""
    n = len(gradients)
    layers = tuple(Layer(str(k), "Linear", "", 8) for k in range(n))
    weights = tuple(Weights(f"{k}.weight", str(k), 64, 64) for k in range(n))
    rng = np.random.default_rng(others.pop("seed", 0))
    norms = np.array(gradients) * np.exp(0.2 * rng.standard_normal((64, n)))
    return made(layers=layers, weights=weights, gradient={"norm": norms}, **others)


def flat(steps: int = 64, start: int = 1, level: float = 1.0, noise: float = 0.02, seed: int = 0) -> np.ndarray:
    return level * np.exp(noise * np.random.default_rng([seed, start]).standard_normal(steps))


def over(windows: int, make) -> list[Window]:
    return [make(1 + 64 * k) for k in range(windows)]


def test_a_window_without_steps_is_survived_by_all():
    empty = made(0)
    whole = made(64)
    for one in all_detectors():
        assert watched(one, [empty, whole, empty]) == [], one.name


def test_a_window_without_layers_or_parameters_is_survived_by_all():
    bare = made(64, layers=(), weights=(), fired=())
    for one in all_detectors():
        assert watched(one, [bare, bare]) == [], one.name


def test_what_was_not_measured_is_survived_by_all():
    nothing = dict.fromkeys(("mean", "deviation", "maximum", "zeros", "saturated", "non_finite"), np.nan)
    blank = made(
        64,
        loss=np.full(64, np.nan),
        rate=np.nan,
        activation=nothing,
        weight={"norm": np.nan, "update_ratio": np.nan},
        gradient={"norm": np.nan, "cosine": np.nan, "non_finite": np.nan},
    )
    for one in all_detectors():
        assert alarms(watched(one, [blank, blank])) == [], one.name


# Depth


def test_the_decay_of_a_geometric_profile_is_exact_and_ignores_one_odd_layer():
    logs = np.log(np.array([[3.0**k for k in range(10)]]))
    assert decay(logs)[0] == pytest.approx(9 * math.log(3))
    logs[0, -1] += 20
    assert decay(logs)[0] == pytest.approx(9 * math.log(3), rel=0.12)
    assert np.isnan(decay(logs[:, :3])[0])


def test_shrinking_gradients_are_a_fault_only_with_a_consequence():
    shrinking = [10.0 ** (-0.5 * (9 - k)) for k in range(10)]
    falls = over(4, lambda start: deep(shrinking, start=start))
    stands = over(8, lambda start: deep(shrinking, start=start, loss=flat(start=start)))
    assert watched(VanishingGradient(), falls) == []
    found = watched(VanishingGradient(), stands)
    assert found[0].verdict is Verdict.FAIL
    assert found[0].where == ("layer:0", "layer:1", "layer:2")


def test_early_layers_that_do_not_move_are_a_consequence():
    shrinking = [10.0 ** (-0.5 * (9 - k)) for k in range(10)]
    ratio = np.array(shrinking) * 1e-3
    found = watched(
        VanishingGradient(), over(3, lambda start: deep(shrinking, start=start, weight={"update_ratio": ratio}))
    )
    assert [one.verdict for one in found] == [Verdict.WARN]


@pytest.mark.parametrize("last", [1.0, 300.0, 1 / 300])
def test_one_odd_layer_is_neither_vanishing_nor_exploding(last):
    profile = [1.0] * 9 + [last]
    windows = over(8, lambda start: deep(profile, start=start, loss=flat(start=start)))
    assert watched(VanishingGradient(), windows) == []
    assert watched(ExplodingGradient(), windows) == []


def test_growing_gradients_are_a_fault_when_the_loss_stands():
    growing = [10.0 ** (0.4 * (9 - k)) for k in range(10)]
    assert watched(ExplodingGradient(), over(4, lambda start: deep(growing, start=start))) == []
    found = watched(ExplodingGradient(), over(8, lambda start: deep(growing, start=start, loss=flat(start=start))))
    assert found[0].verdict is Verdict.FAIL


# Units


@pytest.mark.parametrize(
    ("dead", "units", "expected"), [(5, 64, None), (32, 64, None), (55, 64, "warn"), (64, 64, "fail"), (2, 2, "fail")]
)
def test_shares_of_dead_units(dead, units, expected):
    layers = (Layer("0", "ReLU", "relu", units), Layer("1", "Linear", "", 2))
    fired = (np.r_[np.zeros(dead, int), np.full(units - dead, 900)], np.full(2, 2048))
    found = watched(DeadUnits(), over(3, lambda start: made(start=start, layers=layers, fired=fired)))
    assert [one.verdict.value for one in found] == ([expected] if expected else [])


def test_silence_on_few_samples_proves_nothing():
    layers = (Layer("0", "ReLU", "relu", 8),)
    windows = over(3, lambda start: made(start=start, layers=layers, fired=(np.zeros(8, int),), seen=100))
    assert watched(DeadUnits(), windows) == []
    assert (
        len(
            watched(
                DeadUnits(),
                over(20, lambda start: made(start=start, layers=layers, fired=(np.zeros(8, int),), seen=100)),
            )
        )
        == 1
    )


def test_dead_units_of_a_second_call_are_placed_in_the_module():
    layers = (Layer("act@2", "ReLU", "relu", 4),)
    found = watched(DeadUnits(), [made(layers=layers, fired=(np.zeros(4, int),))])
    assert found[0].where == ("layer:act",)


def test_a_saturated_hidden_layer_is_a_fault_and_a_sure_output_is_not():
    layers = (Layer("0", "Sigmoid", "sigmoid", 16), Layer("1", "Linear", "", 1), Layer("2", "Sigmoid", "sigmoid", 1))
    weights = (Weights("1.weight", "1", 16, 16),)
    stuck, open_ = np.full(16, 3), np.full(16, 1500)

    def make(hidden):
        return over(
            2,
            lambda start: made(
                start=start,
                layers=layers,
                weights=weights,
                loss=flat(start=start),
                fired=(hidden, np.full(1, 2048), np.zeros(1, int)),
            ),
        )

    assert watched(SaturatedUnits(), make(open_)) == []
    found = watched(SaturatedUnits(), make(stuck))
    assert [(one.verdict.value, one.where) for one in found] == [("fail", ("layer:0",))]


def test_a_training_that_is_done_may_saturate():
    layers = (Layer("0", "Tanh", "tanh", 16), Layer("1", "Linear", "", 1))
    weights = (Weights("1.weight", "1", 16, 16),)
    windows = [
        made(
            start=1 + 64 * k,
            layers=layers,
            weights=weights,
            fired=(np.full(16, 1500 if k < 3 else 3), np.full(1, 2048)),
            loss=flat(level=0.4**k),
        )
        for k in range(6)
    ]
    assert watched(SaturatedUnits(), windows) == []


# Values


def test_a_constant_layer_and_a_single_sample():
    layers = (Layer("0", "Softmax", "softmax", 1),)
    same = {"deviation": 0.0, "mean": 1.0, "maximum": 1.0}
    found = watched(CollapsedActivations(), [made(layers=layers, activation=same)])
    assert found[0].verdict is Verdict.FAIL
    moving = {"deviation": 0.0, "mean": np.random.default_rng(0).random((64, 1)), "maximum": 1.0}
    assert watched(CollapsedActivations(), [made(layers=layers, activation=moving, seen=64)]) == []


def test_a_deviation_that_falls_a_thousandfold_is_a_collapse_and_tenfold_is_not():
    fall = lambda factor: [made(start=1 + 64 * k, activation={"deviation": factor if k else 1.0}) for k in range(3)]  # noqa: E731
    assert watched(CollapsedActivations(), fall(0.1)) == []
    assert {one.verdict for one in watched(CollapsedActivations(), fall(1e-4))} == {Verdict.WARN}


def test_where_the_first_non_finite_value_came_from():
    layers = (Layer("a", "Linear", "", 4), Layer("b", "Linear", "", 4))
    weights = (Weights("a.weight", "a", 16, 16), Weights("b.weight", "b", 16, 16))
    loss = flat()
    loss[10] = np.inf
    counts = np.zeros((64, 2))
    counts[10:, 1] = 3
    forward = made(layers=layers, weights=weights, loss=loss, activation={"non_finite": counts})
    assert watched(NonFinite(), [forward])[0].where == ("layer:b",)
    assert watched(NonFinite(), [forward])[0].step == 11
    assert watched(NonFinite(), [made(layers=layers, weights=weights, loss=loss)])[0].where == ("loss",)
    backward = made(layers=layers, weights=weights, gradient={"non_finite": counts})
    assert watched(NonFinite(), [backward])[0].where == ("layer:b",)


def test_masked_scores_and_single_skipped_steps_are_no_fault():
    layers = (Layer("mask", "Mask", "", 4),)
    counts = np.full((64, 1), 7.0)
    assert watched(NonFinite(), [made(layers=layers, activation={"non_finite": counts})]) == []
    bad = np.zeros((64, 2))
    bad[0] = 5
    skip = Event(1, "skipped_step", "loop.step", "the scaler skipped the step")
    assert watched(NonFinite(), [made(gradient={"non_finite": bad}, events=(skip,))]) == []
    always = tuple(Event(step, "skipped_step", "loop.step", "skipped") for step in range(1, 65))
    assert watched(NonFinite(), [made(gradient={"non_finite": 5}, events=always)])[0].verdict is Verdict.WARN


# The loop


def stale_events(steps: range) -> tuple[Event, ...]:
    return tuple(Event(step, "stale_gradient", "0.weight", "left over") for step in steps)


def test_leftover_gradients_at_every_step_are_a_fault_and_at_the_start_are_not():
    assert len(watched(MissingZeroGrad(), [made(events=stale_events(range(2, 65)))])) == 1
    assert watched(MissingZeroGrad(), [made(events=stale_events(range(1, 4)))]) == []


def test_accumulation_needs_the_pattern_of_a_sum():
    some = stale_events(range(2, 65, 2))
    assert watched(MissingZeroGrad(), [made(events=some)]) == []
    assert len(watched(MissingZeroGrad(), [made(events=some, gradient={"cosine": 0.98})])) == 1


def test_an_optimiser_that_moves_nothing_and_one_that_leaves_layers_out():
    found = watched(StaleOptimizer(), [made(weight={"update_ratio": 0.0})])
    assert found[0].verdict is Verdict.FAIL
    assert found[0].where[0] == "optimizer.params"
    weights = tuple(Weights(f"{k}.weight", str(k), 64, 64, True, k in (0, 2)) for k in range(3))
    ratio = np.array([1e-3, 0.0, 1e-3])
    gap = watched(StaleOptimizer(), [made(weights=weights, weight={"update_ratio": ratio})])
    assert [(one.verdict, one.where) for one in gap] == [(Verdict.WARN, ("optimizer.params", "layer:1"))]


def test_an_early_part_left_out_together_may_be_frozen_on_purpose():
    weights = tuple(Weights(f"{k}.weight", str(k), 64, 64, True, k == 2) for k in range(3))
    found = watched(StaleOptimizer(), [made(weights=weights, weight={"update_ratio": np.array([0.0, 0.0, 1e-3])})])
    assert alarms(found) == []


def test_a_rate_of_zero_and_rounding_are_not_stale():
    assert watched(StaleOptimizer(), [made(rate=0.0, weight={"update_ratio": 0.0})]) == []
    assert watched(StaleOptimizer(), [made(rate=1e-9, weight={"update_ratio": 0.0})]) == []


def test_parameters_made_anew_again_and_again():
    events = tuple(Event(step, "parameter_replaced", "0.weight", "another object") for step in (2, 3, 4))
    found = watched(ReplacedParameters(), [made(events=events)])
    assert found[0].where == ("loop.step", "layer:0")
    assert watched(ReplacedParameters(), [made(events=events[:2])]) == []


def test_layers_without_a_gradient():
    missing = np.array([np.nan, 1.0])
    found = watched(NoGradient(), [made(gradient={"norm": missing})])
    assert (found[0].where, max(found[0].suggests, key=found[0].suggests.get)) == (
        ("layer:0",),
        "parameters_without_gradient",
    )
    blocked = watched(NoGradient(), [made(gradient={"norm": np.array([0.0, 1.0])})])
    assert max(blocked[0].suggests, key=blocked[0].suggests.get) == "dying_relu"


def test_an_unused_head_and_a_frozen_layer_may_be_without_a_gradient():
    weights = (
        Weights("0.weight", "0", 64, 64),
        Weights("head.weight", "head", 9, 9),
        Weights("2.weight", "2", 9, 9, False),
    )
    assert watched(NoGradient(), [made(weights=weights, gradient={"norm": np.array([1.0, np.nan, np.nan])})]) == []


def test_the_mode_of_the_whole_network_and_of_frozen_normalisation():
    whole = tuple(Event(step, "wrong_mode", "loop.mode", "evaluation mode") for step in range(1, 5))
    part = tuple(replace(event, where="bn1") for event in whole)
    assert [one.verdict for one in watched(WrongMode(), [made(events=whole)])] == [Verdict.FAIL]
    assert alarms(watched(WrongMode(), [made(events=part)])) == []


# The loss


def test_a_loss_that_climbs_back_and_one_that_only_wobbles():
    fall = [
        made(start=1 + 64 * k, loss=flat(start=k, level=level, noise=0.3))
        for k, level in enumerate((2.0, 1.0, 0.5, 0.4, 0.5))
    ]
    assert watched(Divergence(), fall) == []
    climb = [*fall, made(start=321, loss=flat(level=1.8, noise=0.3))]
    assert [one.verdict for one in watched(Divergence(), climb)] == [Verdict.WARN]
    beyond = [*climb, made(start=385, loss=flat(level=9.0, noise=0.3))]
    assert [one.verdict for one in watched(Divergence(), beyond)] == [Verdict.WARN, Verdict.FAIL]


def test_a_spike_of_single_losses_is_no_divergence():
    loss = flat(noise=0.2)
    loss[::20] = 50
    assert watched(Divergence(), [made(start=1 + 64 * k, loss=loss) for k in range(6)]) == []


def test_a_plateau_needs_a_floor_once_the_loss_has_fallen():
    losses = np.r_[np.linspace(2, 1, 256), np.ones(1280)] * flat(1536, noise=0.01)
    windows = [made(start=1 + 64 * k, loss=losses[64 * k : 64 * k + 64]) for k in range(24)]
    assert watched(Plateau(), windows) == []
    assert watched(Plateau(floor=0.95), windows) == []
    assert [one.verdict for one in watched(Plateau(floor=0.1), windows)] == [Verdict.WARN]


def test_small_steps_of_a_loss_that_falls_and_a_warm_up_are_no_fault():
    small = {"update_ratio": 1e-6}
    falls = over(8, lambda start: made(start=start, weight=small))
    assert watched(StepTooSmall(), falls) == []
    stands = over(8, lambda start: made(start=start, loss=flat(start=start, noise=0.01), weight=small))
    assert [one.verdict for one in watched(StepTooSmall(), stands)] == [Verdict.FAIL]
    warm = over(
        8,
        lambda start: made(
            start=start, loss=flat(start=start, noise=0.01), weight=small, rate=1e-9 * (start + np.arange(64.0))
        ),
    )
    assert watched(StepTooSmall(), warm) == []


@pytest.mark.parametrize(("cosine", "expected"), [(-0.8, 1), (0.0, 0), (-0.1, 0)])
def test_bouncing_is_told_from_batch_noise(cosine, expected):
    rng = np.random.default_rng(0)

    def make(start):
        return made(
            start=start,
            loss=flat(start=start, noise=0.1),
            gradient={"cosine": cosine + 0.05 * rng.standard_normal((64, 1))},
        )

    assert len(watched(Oscillation(), over(16, make))) == expected


def test_bouncing_while_the_loss_falls_is_the_edge_of_stability():
    assert watched(Oscillation(), over(8, lambda start: made(start=start, gradient={"cosine": -0.8}))) == []


def test_decay_that_only_shrinks_weights_and_decay_in_balance():
    def make(start: int, loss: np.ndarray | None = None, radial: bool = True) -> Window:
        time = start + np.arange(64.0)[:, None]
        return made(
            start=start, loss=loss, weight={"norm": np.exp(-0.005 * time), "update_ratio": 0.005 if radial else 0.05}
        )

    stands = over(5, lambda start: make(start, flat(start=start)))
    assert watched(RegulariserDominating(), stands)[0].verdict is Verdict.FAIL
    sideways = over(5, lambda start: make(start, flat(start=start), radial=False))
    assert watched(RegulariserDominating(), sideways) == []
    falls = over(2, make)
    assert watched(RegulariserDominating(), falls) == []


@pytest.mark.parametrize("known", [True, False])
def test_repeating_losses_mean_a_fixed_order_and_shuffled_ones_do_not(known):
    rng = np.random.default_rng(0)
    pattern = np.exp(rng.standard_normal(20))

    def losses(fixed: bool) -> np.ndarray:
        epochs = [pattern if fixed else rng.permutation(pattern) for _ in range(60)]
        return np.concatenate(epochs) * np.exp(0.1 * rng.standard_normal(1200)) * np.linspace(2, 1, 1200)

    for fixed in (True, False):
        series = losses(fixed)
        windows = [made(start=1 + 60 * k, steps=60, loss=series[60 * k : 60 * k + 60]) for k in range(20)]
        found = alarms(watched(FixedOrder(20 if known else None), windows))
        assert len(found) == fixed
        if fixed:
            assert found[0].estimates["period"].value % 20 == 0


def test_autocorrelated_losses_are_not_taken_for_a_fixed_order():
    wrong = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal(960)
        for k in range(1, len(noise)):
            noise[k] += 0.8 * noise[k - 1]
        windows = [made(start=1 + 64 * k, loss=np.exp(0.3 * noise[64 * k : 64 * k + 64])) for k in range(15)]
        wrong += len(alarms(watched(FixedOrder(32), windows))) + len(alarms(watched(FixedOrder(), windows)))
    assert wrong == 0


# Several windows at once


def test_merged_windows_hold_what_their_parts_hold():
    whole = made(128)
    parts = [
        replace(
            whole,
            steps=whole.steps[cut],
            loss=whole.loss[cut],
            learning_rate=whole.learning_rate[cut],
            activation={name: one[cut] for name, one in whole.activation.items()},
            gradient={name: one[cut] for name, one in whole.gradient.items()},
            weight={name: one[cut] for name, one in whole.weight.items()},
            fired=tuple(one // 2 for one in whole.fired),
            seen=whole.seen // 2,
        )
        for cut in (slice(0, 64), slice(64, 128))
    ]
    again = merged(parts)
    np.testing.assert_array_equal(again.steps, whole.steps)
    np.testing.assert_array_equal(again.gradient["cosine"], whole.gradient["cosine"])
    np.testing.assert_array_equal(again.seen, whole.seen)
    assert all((abs(a - b) <= 1).all() for a, b in zip(again.fired, whole.fired, strict=True))


class Counting:
    name = "counting"
    faults = ()

    def __init__(self):
        self.lengths = []

    def observe(self, window):
        self.lengths.append(len(window.steps))
        return ()


def test_a_pool_looks_less_and_less_often_and_forgets_nothing():
    counting = Counting()
    pool = Pool([counting])
    for start in range(1, 64 * 400, 64):
        pool.observe(made(64, start=start))
    pool.flush()
    assert counting.lengths[:4] == [64] * 4
    assert max(counting.lengths) == 1024
    assert sum(counting.lengths) == 64 * 400
    assert len(counting.lengths) < 45


def test_a_pool_looks_at_once_at_an_event_and_survives_a_detector_that_raises():
    class Broken(Counting):
        def observe(self, window):
            raise RuntimeError("broken")

    counting, failures = Counting(), []
    pool = Pool([Broken(), counting], failed=lambda detector, problem: failures.append(str(problem)))
    for start in range(1, 64 * 20, 64):
        pool.observe(made(64, start=start))
    before = len(counting.lengths)
    pool.observe(made(64, start=1281, events=(Event(1282, "wrong_mode", "loop.mode", "evaluation mode"),)))
    assert len(counting.lengths) == before + 1
    assert failures == ["broken"] * len(counting.lengths)
    with pytest.raises(RuntimeError, match="broken"):
        Pool([Broken()]).observe(made(8))
