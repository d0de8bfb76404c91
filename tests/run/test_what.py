"""Whatever the user names becomes a plan, or an error that says what to do."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import equipoise
from equipoise.core.plan import Plan, read_plan, write_plan
from equipoise.run.folder import new_folder, open_folder
from equipoise.run.what import resolve

RNG = np.random.default_rng(0)
FLOWERS = pd.DataFrame({"width": RNG.normal(size=60), "kind": ["rose", "lily", "iris"] * 20})


def test_a_bundled_name():
    assert resolve("digits").plan.network.family == "convolutional"
    assert resolve("digits", seed=7).plan.seed == 7


def test_a_plan_file_and_a_run_folder(tmp_path):
    plan = equipoise.plan("wine")
    write_plan(plan, tmp_path / "plan.toml")
    assert resolve(tmp_path / "plan.toml").plan == plan
    assert resolve(str(tmp_path)).plan == plan


def test_a_table_chooses_and_says_why(tmp_path):
    path = tmp_path / "flowers.csv"
    FLOWERS.to_csv(path, index=False)
    resolved = resolve(path, target="kind")
    assert resolved.plan.data.targets == ("kind",)
    assert resolved.splits.signature.task.kind == "multiclass"
    assert any(reason.startswith("network: dense") for reason in resolved.plan.why)
    assert any(reason.startswith("recipe:") for reason in resolved.plan.why)
    write_plan(resolved.plan, tmp_path / "plan.toml")
    assert read_plan(tmp_path / "plan.toml") == resolved.plan


def test_a_table_of_texts_is_read_as_texts(tmp_path):
    path = tmp_path / "mails.csv"
    words = [
        "the",
        "price",
        "of",
        "this",
        "offer",
        "is",
        "far",
        "too",
        "good",
        "to",
        "be",
        "true",
        "for",
        "once",
        "again",
    ]
    texts = [" ".join(RNG.permutation(words)[:8]) for _ in range(60)]
    pd.DataFrame({"mail": texts, "label": ["spam", "ham"] * 30}).to_csv(path, index=False)
    assert resolve(path, target="label").plan.data.source == "text"
    assert resolve(path).plan.network.family == "recurrent"


def test_the_task_may_be_named(tmp_path):
    path = tmp_path / "counts.csv"
    pd.DataFrame({"x": RNG.normal(size=80), "stars": [1, 2, 3, 4] * 20}).to_csv(path, index=False)
    assert resolve(path, target="stars").splits.signature.task.kind == "multiclass"
    assert resolve(path, target="stars", task="regression").splits.signature.task.kind == "regression"
    with pytest.raises(ValueError, match="Did you mean 'regression'"):
        resolve(path, target="stars", task="regresion")


def test_a_data_frame_and_a_pair_of_arrays():
    assert resolve(FLOWERS, target="kind").plan.data.source == "given"
    pair = (RNG.normal(size=(80, 5)).astype("float32"), RNG.normal(size=80))
    resolved = resolve(pair)
    assert resolved.splits.signature.task.kind == "regression"
    assert resolved.plan.network.family == "dense"


def test_a_folder_of_images(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(12):
            picture = Image.fromarray(RNG.integers(0, 255, (16, 16, 3), dtype=np.uint8))
            picture.save(tmp_path / name / f"{k}.png")
    resolved = resolve(tmp_path)
    assert resolved.plan.data.source == "images"
    assert resolved.plan.network.family == "convolutional"


def test_module_function_may_return_a_plan_or_data(in_tmp, monkeypatch):
    (in_tmp / "made_here.py").write_text(
        "import numpy as np, equipoise\n"
        "def a_plan(): return equipoise.plan('xor')\n"
        "def some_data():\n"
        "    rng = np.random.default_rng(0)\n"
        "    x = rng.normal(size=(90, 4)).astype('float32')\n"
        "    return x, (x[:, 0] > 0).astype(int)\n"
        "def needs(x): return x\n"
    )
    monkeypatch.syspath_prepend(str(in_tmp))
    assert resolve("made_here:a_plan").plan.name == "xor"
    resolved = resolve("made_here:some_data")
    assert resolved.plan.data.factory == "made_here:some_data"
    assert resolved.splits.signature.task.kind == "binary"
    with pytest.raises(ValueError, match="no function 'a_plam'.*Did you mean 'a_plan'"):
        resolve("made_here:a_plam")
    with pytest.raises(ValueError, match="there is no module 'made_there'"):
        resolve("made_there:a_plan")


def test_a_network_replaces_the_plans_own(tmp_path):
    assert resolve("wine", network="some.module:build").plan.network.factory == "some.module:build"
    path = tmp_path / "n.keras"
    path.touch()
    assert resolve("wine", network=str(path)).plan.network.path == str(path)


BAD = [
    ("digts", {}, "Did you mean 'digits'?"),
    ("no/such/folder", {}, "which is not there"),
    ("missing.csv", {}, "which is not there"),
    ("missing.toml", {}, "which is not there"),
    ("digits", {"target": "kind"}, "expected it only with bare data"),
    ("digits", {"network": "nowhere.keras"}, "which is not there"),
    ("notes.docx", {}, "expected a bundled plan"),
]


@pytest.mark.parametrize(("what", "options", "message"), BAD, ids=[what for what, _, _ in BAD])
def test_a_bad_what(what, options, message, in_tmp):
    with pytest.raises((ValueError, FileNotFoundError)) as problem:
        resolve(what, **options)
    assert "got" in str(problem.value)
    assert message in str(problem.value)


def test_bad_files_and_folders(in_tmp):
    (in_tmp / "model.keras").touch()
    with pytest.raises(ValueError, match="without data.*--network"):
        resolve("model.keras")
    (in_tmp / "notes.docx").touch()
    with pytest.raises(ValueError, match=r"the ending '\.docx'"):
        resolve("notes.docx")
    (in_tmp / "empty").mkdir()
    with pytest.raises(ValueError, match="without any image, sound or text file"):
        resolve("empty")


def test_run_folders_never_overwrite(in_tmp):
    first, second = new_folder("wine", None), new_folder("wine", None)
    assert second.path.name == f"{first.path.name}-2"
    (first.path / "x").touch()
    with pytest.raises(FileExistsError, match="expected a new or empty folder"):
        new_folder("wine", first.path)
    with pytest.raises(FileNotFoundError, match="holds no plan"):
        open_folder(first.path)


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(in_tmp):
    (in_tmp / "file").touch()
    with pytest.raises(OSError, match="Name another one with --out"):
        new_folder("wine", in_tmp / "file" / "below")


def test_a_plan_object_passes_through():
    plan = equipoise.plan("xor")
    assert isinstance(plan, Plan)
    assert resolve(plan).plan is plan
