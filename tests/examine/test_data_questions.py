"""Questions about data: planted faults, closed forms and simulated chance."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from equipoise.core.data_plan import Split, TableData
from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding
from equipoise.core.signature import (
    ArrayInput,
    Column,
    ImageInput,
    Signature,
    SoundInput,
    TableInput,
    Task,
    TextInput,
)
from equipoise.data.duplicates import fingerprints
from equipoise.examine.ask import ask
from equipoise.examine.data.class_balance import ClassBalance
from equipoise.examine.data.data_quality import DataQuality
from equipoise.examine.data.first_layer import what_reaches
from equipoise.examine.data.input_scale import InputScale
from equipoise.examine.data.repeats import chance_of_repeat, near_repeats, own_repeats
from equipoise.examine.data.split_leakage import SplitLeakage
from equipoise.examine.data.target_scale import TargetScale
from equipoise.examine.subject import Subject
from equipoise.networks.heads import BinaryHead, ClassHead, RegressionHead
from equipoise.networks.network import Head
from equipoise.testing import (
    Part,
    best_classifier,
    best_regressor,
    check_question,
    constant,
    divide,
    make_subject,
    with_body,
    with_history,
)


def _answer(question: object, subject: Subject) -> Finding:
    finding = ask(question, subject)
    assert finding.verdict is not Verdict.ERROR, (finding.claim, finding.where)
    return finding


def _normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class _Nothing(nn.Module):
    """Scores of 0, whatever comes in."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(inputs), 1)


def _binary(inputs: torch.Tensor, labels: torch.Tensor, spec: object, body: nn.Module | None = None) -> Subject:
    signature = Signature(inputs=spec, task=Task(kind="binary", classes=("no", "yes")))
    parts = divide(inputs, labels, train=len(inputs) // 2, validation=len(inputs) // 4)
    return make_subject(body or _Nothing(), BinaryHead(), signature, *parts)


@pytest.mark.parametrize(
    "question", [DataQuality(), InputScale(), ClassBalance(), SplitLeakage()], ids=lambda one: one.card.id
)
def test_healthy_classes_pass_by_the_rules(question: object) -> None:
    assert check_question(question, best_classifier(n=1200)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    "question", [DataQuality(), InputScale(), TargetScale(), SplitLeakage()], ids=lambda one: one.card.id
)
def test_healthy_values_pass_by_the_rules(question: object) -> None:
    assert check_question(question, best_regressor(mean=1e5, scale=2e4)).verdict is Verdict.PASS


# data-quality


def _table(cells: torch.Tensor) -> Subject:
    names = tuple(Column(name=f"c{k}", kind="numeric") for k in range(cells.shape[1]))
    return _binary(cells, torch.arange(len(cells)) % 2, TableInput(columns=names))


def test_gaps_constants_twins_and_wild_cells_are_counted_and_named() -> None:
    cells = _normal(400, 5)
    cells[:, 1] = 3.0
    cells[:, 2] = cells[:, 0]
    cells[::10, 3] = float("nan")
    cells[0, 4] = 9999.0
    finding = _answer(DataQuality(), _table(cells))
    assert finding.verdict is Verdict.PASS
    assert finding.estimates["missing_cells"].value == pytest.approx(0.1 / 5)
    assert finding.estimates["constant_columns"].value == pytest.approx(1 / 5)
    assert finding.estimates["extreme_cells"].value == pytest.approx(1 / 1000)
    assert {"c1 never changes", "c2 repeats c0", "c4 has 1 extreme cells"} <= set(finding.where)
    assert finding.figures[0].labels == ("c3",)


@pytest.mark.parametrize(("share", "verdict"), [(0.2, Verdict.PASS), (0.5, Verdict.WARN), (0.8, Verdict.FAIL)])
def test_many_gaps_are_worse(share: float, verdict: Verdict) -> None:
    cells = _normal(1000, 10)
    # Row k lacks so many of its cells from column k on; the part that is learned from has them all alike.
    for row in range(1000):
        cells[row, (torch.arange(round(10 * share)) + row) % 10] = float("nan")
    finding = _answer(DataQuality(), _table(cells))
    assert finding.verdict is verdict
    assert finding.estimates["missing_cells"].value == pytest.approx(share)


def test_samples_without_content_fail_for_every_kind_of_input() -> None:
    labels = torch.arange(200) % 2
    pictures = _normal(200, 1, 4, 4).abs()
    pictures[::5] = 7.0
    sounds = _normal(200, 50).clamp(-1, 1)
    sounds[::5] = 0.0
    texts = torch.randint(2, 30, (200, 6), generator=torch.Generator().manual_seed(0))
    texts[::5] = torch.tensor([1, 1, 0, 0, 0, 0])
    arrays = _normal(200, 4)
    arrays[::5, 2] = float("inf")
    rows = _normal(200, 3)
    rows[::5] = float("nan")
    specs = {
        "blank": (pictures, ImageInput(channels=1, height=4, width=4)),
        "silent": (sounds, SoundInput(sample_rate=50, samples=50)),
        "known word": (texts, TextInput(length=6, vocabulary=30, tokenizer=_tokenizer())),
        "not finite": (arrays, ArrayInput(shape=(4,))),
        "empty rows": (rows, TableInput(columns=tuple(Column(name=n, kind="numeric") for n in "abc"))),
    }
    for word, (inputs, spec) in specs.items():
        finding = _answer(DataQuality(), _binary(inputs, labels, spec))
        assert finding.verdict is Verdict.FAIL
        assert word in finding.claim
        assert finding.estimates["samples_without_content"].value == pytest.approx(0.2)


def _tokenizer() -> str:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    words = {"[PAD]": 0, "[UNK]": 1} | {f"w{k}": k for k in range(2, 30)}
    return Tokenizer(WordLevel(words, unk_token="[UNK]")).to_str()


def test_labels_that_contradict_identical_inputs_set_a_ceiling() -> None:
    inputs = torch.arange(100.0).repeat(4)[:, None].repeat(1, 2)
    labels = torch.zeros(400, dtype=torch.int64)
    # In the training half each input comes twice: 100 pairs, of which 30 disagree.
    labels[100:130] = 1
    finding = _answer(DataQuality(), _binary(inputs, labels, ArrayInput(shape=(2,))))
    assert finding.estimates["contradicted_labels"].value == pytest.approx(30 / 200)
    assert finding.estimates["repeated_samples"].value == pytest.approx(0.5)
    assert finding.verdict is Verdict.WARN
    assert "contradicts" in finding.worst_samples[0].caption


def test_answers_that_are_not_finite_fail() -> None:
    body = nn.Linear(5, 3)
    with torch.no_grad():
        body.bias[1] = float("inf")
    finding = _answer(DataQuality(), with_body(best_classifier(), body))
    assert finding.verdict is Verdict.FAIL
    assert finding.estimates["answers_not_finite"].value == 1.0


# input-scale


def _scaled(factors: torch.Tensor, shift: float = 0.0, body: nn.Module | None = None) -> Subject:
    inputs = _normal(2000, len(factors)) * factors + shift * factors
    first = body or nn.Linear(len(factors), 1)
    return _binary(inputs, torch.arange(2000) % 2, ArrayInput(shape=(len(factors),)), first)


@pytest.mark.parametrize(
    ("factor", "shift", "verdict"),
    [(1.0, 0.0, Verdict.PASS), (50.0, 0.0, Verdict.WARN), (1e-4, 0.0, Verdict.FAIL), (0.1, 10.0, Verdict.WARN)],
)
def test_scale_and_offset_are_judged(factor: float, shift: float, verdict: Verdict) -> None:
    factors = torch.tensor([1.0, 1.0, factor])
    if shift:
        factors = torch.full((3,), factor)
    finding = _answer(InputScale(), _scaled(factors, shift))
    assert finding.verdict is verdict
    rms = factor * np.sqrt(1 + shift**2)
    assert finding.estimates["decades_from_one"].value == pytest.approx(abs(np.log10(rms)), abs=0.03)
    assert finding.estimates["offset"].value == pytest.approx(shift, abs=0.5)
    assert bool(finding.where) == (verdict is not Verdict.PASS)


def test_conditioning_lost_is_that_of_independent_columns() -> None:
    # Independent columns of deviations 1 and 1000 have second moments 1 and 1e6: six decades; standardised, none.
    lost = _answer(InputScale(), _scaled(torch.tensor([1.0, 1000.0]))).estimates["conditioning_lost"]
    assert lost.value == pytest.approx(6.0, abs=0.1)
    assert lost.low < 6.0 < lost.high


def test_what_leaves_a_normalising_layer_is_what_counts() -> None:
    body = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    with torch.no_grad():
        body[0].running_var.fill_(1e6)
    subject = _scaled(torch.full((3,), 1000.0), body=body)
    path, given = what_reaches(subject, subject.part("train").inputs[:10])
    assert path == "body.1"
    assert torch.allclose(given, subject.part("train").inputs[:10] / 1000, atol=1e-3)
    assert _answer(InputScale(), subject).verdict is Verdict.PASS
    assert not body[1]._forward_pre_hooks


def test_flags_constants_and_pictures_are_not_blamed() -> None:
    flags = (_normal(500, 3) > 2).float()
    flags[:, 2] = 4.0
    only_flags = _binary(flags, torch.arange(500) % 2, ArrayInput(shape=(3,)), nn.Linear(3, 1))
    assert _answer(InputScale(), only_flags).verdict is Verdict.SKIPPED
    pictures = _normal(300, 1, 6, 6)
    pictures[:, :, 0] *= 1e-4
    body = nn.Sequential(nn.Flatten(), nn.Linear(36, 1))
    dim_border = _binary(pictures, torch.arange(300) % 2, ImageInput(channels=1, height=6, width=6), body)
    assert _answer(InputScale(), dim_border).verdict is Verdict.PASS


def test_raw_bytes_of_pictures_fail() -> None:
    pictures = 128 + 60 * _normal(300, 3, 6, 6)
    spec = ImageInput(channels=3, height=6, width=6)
    body = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(32, 1))
    finding = _answer(InputScale(), _binary(pictures, torch.arange(300) % 2, spec, body))
    assert finding.verdict is Verdict.FAIL
    assert finding.where[0].startswith("channel ")


# target-scale


@pytest.mark.parametrize(
    ("mean", "scale", "verdict"),
    [(0.0, 1.0, Verdict.PASS), (0.0, 40.0, Verdict.WARN), (2e5, 5e4, Verdict.FAIL), (4.0, 0.8, Verdict.WARN)],
)
def test_targets_are_judged_on_the_scale_that_the_loss_sees(mean: float, scale: float, verdict: Verdict) -> None:
    donor = best_regressor(mean=mean, scale=scale)
    parts = (donor.part(name) for name in ("train", "validation", "test"))
    bare = make_subject(nn.Linear(5, 1), Head(), donor.network.signature, *parts)
    assert _answer(TargetScale(), bare).verdict is verdict
    assert _answer(TargetScale(), donor).verdict is Verdict.PASS


def test_the_scale_is_found_through_the_head() -> None:
    subject = best_regressor(mean=50.0, scale=9.0, noise=0.5)
    finding = _answer(TargetScale(), subject)
    targets = subject.part("train").targets.numpy()
    head = subject.network.head
    assert isinstance(head, RegressionHead)
    want = head.standardise(torch.from_numpy(targets)).numpy()
    assert finding.estimates["decades_from_one"].value == pytest.approx(
        abs(np.log10(np.sqrt((want**2).mean()))), abs=1e-4
    )

    class Bent(Head):
        def answer(self, scores: torch.Tensor) -> torch.Tensor:
            return scores.exp()

    parts = (subject.part(name) for name in ("train", "validation", "test"))
    bent = make_subject(nn.Linear(5, 1), Bent(), subject.network.signature, *parts)
    assert "not linear" in _answer(TargetScale(), bent).claim
    assert _answer(TargetScale(), best_classifier()).verdict is Verdict.SKIPPED


# class-balance


def test_imbalance_alone_is_no_fault_but_its_harm_is() -> None:
    rare = best_classifier(n=4000, classes=2, separation=6.0, shares=(0.95, 0.05))
    finding = _answer(ClassBalance(), rare)
    assert finding.verdict is Verdict.PASS
    shares = np.array([0.95, 0.05])
    want = np.exp(-(shares * np.log(shares)).sum()) / 2
    assert finding.estimates["label_perplexity"].value == pytest.approx(want, abs=0.03)
    blind = _answer(ClassBalance(), constant(rare))
    assert blind.verdict is Verdict.FAIL
    assert blind.estimates["recall_gap"].value == 1.0
    assert blind.where == ("class 1 (rare, recall 0.0 %)",)


def test_classes_without_samples_are_named() -> None:
    healthy = best_classifier(n=600)
    train, validation, test = (healthy.part(name) for name in ("train", "validation", "test"))
    whole = (healthy.network.body, healthy.network.head, healthy.network.signature)
    kept = train.targets != 2
    less = Part(train.inputs[kept], train.targets[kept])
    untrained = make_subject(*whole, less, validation, test)
    finding = _answer(ClassBalance(), untrained)
    assert finding.verdict is Verdict.FAIL
    assert "class 2 (never trained)" in finding.where
    seen = test.targets != 2
    fewer = Part(test.inputs[seen], test.targets[seen])
    untested = make_subject(*whole, train, validation, fewer)
    finding = _answer(ClassBalance(), untested)
    assert finding.verdict is Verdict.WARN
    assert "class 2 (never tested)" in finding.where
    assert _answer(ClassBalance(), best_regressor()).verdict is Verdict.SKIPPED


# split-leakage


def _with_test(subject: Subject, inputs: torch.Tensor, targets: torch.Tensor) -> Subject:
    network = subject.network
    train, validation = subject.part("train"), subject.part("validation")
    return make_subject(network.body, network.head, network.signature, train, validation, Part(inputs, targets))


@pytest.mark.parametrize(("copies", "verdict"), [(0, Verdict.PASS), (30, Verdict.FAIL), (200, Verdict.FAIL)])
def test_planted_copies_are_counted(copies: int, verdict: Verdict) -> None:
    subject = best_classifier(n=800)
    train, test = subject.part("train"), subject.part("test")
    inputs, targets = test.inputs.clone(), test.targets.clone()
    inputs[:copies], targets[:copies] = train.inputs[:copies], train.targets[:copies]
    finding = _answer(SplitLeakage(), _with_test(subject, inputs, targets))
    assert finding.verdict is verdict
    assert finding.estimates["repeats"].value == pytest.approx(copies / len(inputs))
    if copies == 30:
        assert "Without them" in finding.claim
        assert finding.where[0] == "test sample 0"
        assert [one.caption for one in finding.worst_samples[:2]] == ["test sample 0", "training sample 0: the same"]


def test_planted_near_copies_are_found() -> None:
    subject = best_classifier(n=800, features=8)
    train, test = subject.part("train"), subject.part("test")
    inputs = test.inputs.clone()
    inputs[:60] = train.inputs[:60] + 0.01 * _normal(60, 8, seed=5)
    finding = _answer(SplitLeakage(), _with_test(subject, inputs, test.targets))
    assert finding.verdict is Verdict.FAIL
    assert finding.estimates["repeats"].value == 0
    assert finding.estimates["near_repeats"].value == pytest.approx(60 / 200, abs=0.02)


@pytest.mark.parametrize("features", [1, 2, 5, 20])
@pytest.mark.parametrize("heavy", [False, True], ids=["normal", "heavy tails"])
def test_chance_calls_few_near_repeats(features: int, heavy: bool) -> None:
    rng = np.random.default_rng(features)
    draw = (lambda n: rng.standard_t(3, (n, features))) if heavy else (lambda n: rng.standard_normal((n, features)))
    found = near_repeats(draw(4000), draw(1500))
    assert found is not None
    assert found.near.mean() < 0.008
    if not heavy and features <= 5:
        assert found.dimension == pytest.approx(features, rel=0.25)


def _strata(kind: str, seed: int, n: int = 420) -> np.ndarray:
    """Return independent rows with filled gaps, categories or whole numbers."""
    rng = np.random.default_rng(seed)
    if kind == "whole numbers":
        return rng.integers(0, 12, (n, 4)).astype(np.float64)
    cells = rng.standard_normal((n, 4))
    cells[rng.random((n, 4)) < 0.2] = 0.0
    return np.hstack([cells, np.eye(4)[rng.integers(0, 4, n)]]) if kind == "categories" else cells


@pytest.mark.parametrize("kind", ["filled gaps", "categories", "whole numbers"])
def test_recurring_values_raise_no_alarm_and_hide_no_near_copies(kind: str) -> None:
    alarms = []
    for seed in range(40):
        rows = _strata(kind, seed)
        found = near_repeats(rows[320:], rows[:320])
        alarms.append(found is not None and found.near.any())
    assert np.mean(alarms) <= 0.05
    rows = _strata(kind, 99)
    rows[320:330] = rows[:10] + 1e-3 * np.random.default_rng(0).standard_normal((10, rows.shape[1]))
    found = near_repeats(rows[320:], rows[:320])
    assert found is not None
    assert found.near[:10].sum() >= 8
    assert found.near[10:].mean() < 0.05


@pytest.mark.parametrize("copies", [0, 10])
def test_a_table_with_gaps_fails_for_copies_only(copies: int) -> None:
    verdicts = []
    for seed in range(8):
        cells = _normal(400, 4, seed=seed)
        cells[torch.rand(400, 4, generator=torch.Generator().manual_seed(seed)) < 0.2] = float("nan")
        cells[300 : 300 + copies] = cells[:copies]
        finding = _answer(SplitLeakage(), _table(cells))
        verdicts.append(finding.verdict)
    assert set(verdicts) <= ({Verdict.WARN, Verdict.FAIL} if copies else {Verdict.PASS})


def test_repeats_within_a_part_are_accidents_of_coarse_inputs_only() -> None:
    rng = np.random.default_rng(0)
    coarse = np.repeat(rng.integers(0, 6, (100, 1)), 4, axis=1)
    assert own_repeats(coarse, fingerprints(coarse)) == 100
    fine = np.repeat(rng.standard_normal((50, 4)), 2, axis=0)
    assert own_repeats(fine, fingerprints(fine)) == 0


def test_inputs_with_few_possible_values_may_repeat() -> None:
    inputs = torch.randint(0, 2, (400, 3), generator=torch.Generator().manual_seed(0)).float()
    finding = _answer(SplitLeakage(), _binary(inputs, torch.arange(400) % 2, ArrayInput(shape=(3,))))
    assert finding.verdict is Verdict.PASS
    assert finding.estimates["expected_by_accident"].value == 1.0
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 3, (200, 6))
    seen = {row.tobytes() for row in wide}
    met = np.mean([row.tobytes() in seen for row in rng.integers(0, 3, (20_000, 6))])
    assert chance_of_repeat(wide, 200) == pytest.approx(met, abs=0.02)


def test_fingerprints_are_equal_for_equal_rows_only() -> None:
    rows = np.array([[0.0, np.nan], [-0.0, -np.nan], [0.0, 1.0]], dtype=np.float32)
    one, two, three = fingerprints(rows)
    assert one == two != three
    assert len(set(fingerprints(np.arange(1000).reshape(500, 2)))) == 500


def test_a_group_in_two_parts_fails() -> None:
    subject = best_classifier(n=400)
    sizes = {name: len(subject.part(name)) for name in ("train", "validation", "test")}
    apart = {name: np.arange(size) // 4 + 1000 * k for k, (name, size) in enumerate(sizes.items())}
    split = replace(subject.splits, groups=apart)
    assert _answer(SplitLeakage(), Subject(subject.network, split)).verdict is Verdict.PASS
    mixed = replace(subject.splits, groups={**apart, "test": apart["train"][: sizes["test"]]})
    finding = _answer(SplitLeakage(), Subject(subject.network, mixed))
    assert finding.verdict is Verdict.FAIL
    assert "25 of 25 test groups are in another part too" in finding.claim


@pytest.mark.parametrize("late", [True, False])
def test_a_split_by_time_must_keep_its_promise(late: bool) -> None:
    days = torch.arange(400.0)[:, None]
    cells = torch.cat([days if late else days.flip(0), _normal(400, 3)], dim=1)
    columns = (Column(name="day", kind="date"), *(Column(name=n, kind="numeric") for n in "abc"))
    subject = with_history(_binary(cells, torch.arange(400) % 2, TableInput(columns=columns)), [1.0], [1.0])
    plan = subject.plan.replace(data=TableData(path="x.csv", split=Split(method="time", column="day")))
    timed = Subject(subject.network, subject.splits, replace(subject.fit, plan=plan))
    finding = _answer(SplitLeakage(), timed)
    assert finding.verdict is (Verdict.PASS if late else Verdict.FAIL)
    assert finding.estimates["out_of_order"].value == (0.0 if late else 1.0)


def test_classes_with_their_own_head_are_balanced_too() -> None:
    targets = torch.randint(0, 3, (200, 5), generator=torch.Generator().manual_seed(0))
    targets[:, 4] = -100
    spec = ArrayInput(shape=(5, 2), axes="steps,features")
    signature = Signature(inputs=spec, task=Task(kind="sequence-labelling", classes=("a", "b", "c")))

    class Steps(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.zeros(*inputs.shape[:2], 3)

    parts = divide(_normal(200, 5, 2), targets, train=100, validation=50)
    finding = _answer(ClassBalance(), make_subject(Steps(), ClassHead(), signature, *parts))
    assert finding.estimates["label_perplexity"].value == pytest.approx(1.0, abs=0.01)
