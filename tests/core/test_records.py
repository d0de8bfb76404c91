"""Records: read strictly, written back equal."""

import json

import pytest

from equipoise.core.data_plan import BundledData, TableData
from equipoise.core.estimate import Estimate, Line, Verdict, judge
from equipoise.core.network_plan import ConvolutionalNetwork, DenseNetwork
from equipoise.core.plan import Plan, read_plan, write_plan
from equipoise.core.recipe import Recipe
from equipoise.run.bundled import bundled_plans

PLAN = Plan(
    name="digits",
    data=BundledData(name="digits"),
    network=ConvolutionalNetwork(),
    claims={"overfitting": {"gap": {"warn": 0.05, "fail": 0.1}}},
)


@pytest.mark.parametrize("path", bundled_plans().values(), ids=lambda path: path.stem)
def test_every_bundled_plan_reads_and_writes_back_equal(path, tmp_path):
    plan = read_plan(path)
    write_plan(plan, tmp_path / "plan.toml")
    assert read_plan(tmp_path / "plan.toml") == plan
    assert plan.name == path.stem
    assert plan.about


@pytest.mark.parametrize("text", ['quote " and \\ and \n and \t', "日本語 🙂", "\x07 bell", "", "= [x] # no comment"])
def test_any_text_survives_the_file(text, tmp_path):
    plan = PLAN.replace(about=text)
    write_plan(plan, tmp_path / "plan.toml")
    assert read_plan(tmp_path / "plan.toml").about == text


def test_relative_paths_are_taken_from_the_plan(tmp_path):
    plan = PLAN.replace(data=TableData(path="house.csv", targets=("price",)))
    write_plan(plan, tmp_path / "plan.toml")
    assert read_plan(tmp_path / "plan.toml").data.path == str((tmp_path / "house.csv").resolve())


HEAD = 'name = "x"\n[data]\nsource = "table"\npath = "a.csv"\n[network]\nfamily = "dense"\n'
BAD_PLANS = [
    ('name = "x"\n[data\n', "not TOML"),
    ("", "got no key 'name'"),
    (HEAD.replace('"x"', '"../x"'), "name got '../x'"),
    (HEAD.replace("table", "tabel"), "Did you mean 'table'?"),
    (HEAD.replace("dense", "dens"), "Did you mean 'dense'?"),
    (HEAD.replace('source = "table"\n', ""), "got no key 'data.source'"),
    (HEAD.replace("path", "paht"), "Did you mean 'path'?"),
    (HEAD + "hiden = [3]\n", "Did you mean 'hidden'?"),
    (HEAD + "hidden = 3\n", "network.hidden got 3"),
    (HEAD + 'hidden = ["a"]\n', "network.hidden.0 got 'a'"),
    (HEAD + "hidden = [0]\n", "greater than or equal to 1"),
    (HEAD + "dropout = 1.0\n", "less than 1"),
    (HEAD + "dropout = true\n", "network.dropout got True"),
    (HEAD + 'activation = "rulu"\n', "Did you mean 'relu'?"),
    (HEAD + "[recipe]\nlearning_rte = 0.1\n", "Did you mean 'learning_rate'?"),
    (HEAD + '[recipe]\nlearning_rate = "fast"\n', "recipe.learning_rate got 'fast'"),
    (HEAD + "[recipe]\nlearning_rate = -1.0\n", "greater than 0"),
    (HEAD + '[recipe]\noptimizer = "adm"\n', "Did you mean 'adam'?"),
    (HEAD + "[recipe]\nepochs = 1.5\n", "recipe.epochs got 1.5"),
    (HEAD + "[recipe]\nbatch_size = 0\n", "recipe.batch_size got 0"),
    (HEAD + '[recipe]\noptimizer = "schedule-free"\nschedule = "cosine"\n', "which replaces schedules"),
    (HEAD + '[recipe]\naugmentation = ["flop"]\n', "Did you mean 'flip'?"),
    (HEAD + '[claims.accuracy.accuracy]\nwarn = "high"\n', "got 'high'"),
    (HEAD + "seeds = 3\n", "unknown key 'network.seeds'"),
    ("seed = -1\n" + HEAD, "seed got -1"),
]


@pytest.mark.parametrize(("text", "message"), BAD_PLANS, ids=[message[:30] for _, message in BAD_PLANS])
def test_a_bad_plan_names_file_key_and_cure(text, message, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match="expected") as problem:
        read_plan(path)
    assert str(path) in str(problem.value)
    assert message in str(problem.value)


def test_replace_reaches_inside_and_is_checked():
    assert PLAN.replace(recipe__learning_rate=0.5).recipe.learning_rate == 0.5
    assert PLAN.replace(network=DenseNetwork()).network.family == "dense"
    with pytest.raises(ValueError, match="unknown key"):
        PLAN.replace(recipe__speed=1)


def test_a_record_is_frozen():
    with pytest.raises(Exception, match="frozen"):
        Recipe().epochs = 3


def test_damaged_json_is_named(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="got text that is not JSON"):
        Estimate.load(path)


def test_json_round_trip(tmp_path):
    estimate = Estimate(value=0.1, low=0.0, high=float("inf"), n=3, unit="nats")
    estimate.save(tmp_path / "e.json")
    assert Estimate.load(tmp_path / "e.json") == estimate
    assert json.loads((tmp_path / "e.json").read_text())["unit"] == "nats"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.00, 0.01, Verdict.PASS),
        (0.004, 0.058, Verdict.UNSURE),
        (0.025, 0.045, Verdict.WARN),
        (0.030, 0.070, Verdict.WARN),
        (0.060, 0.070, Verdict.FAIL),
    ],
)
def test_a_verdict_needs_the_whole_interval(low, high, verdict):
    above = Estimate(value=(low + high) / 2, low=low, high=high, n=100)
    below = Estimate(value=-(low + high) / 2, low=-high, high=-low, n=100)
    assert judge(above, Line(warn=0.02, fail=0.05)) is verdict
    assert judge(below, Line(warn=-0.02, fail=-0.05, worse="below")) is verdict


@pytest.mark.parametrize("values", [{"low": 2.0}, {"high": 0.0}, {"n": 0}, {"level": 0.0}, {"value": float("nan")}])
def test_an_estimate_must_be_ordered(values):
    with pytest.raises(ValueError, match="low <= value <= high|n of at least 1|a level"):
        Estimate(**({"value": 1.0, "low": 0.5, "high": 1.5, "n": 10} | values))
