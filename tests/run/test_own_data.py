"""Data as people have them: gaps, dates, broken files, mixed sizes; and networks made elsewhere."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from equipoise.core.estimate import Verdict
from equipoise.networks.keras_models import keras_module
from equipoise.run.job import Options, run
from equipoise.run.loaded import load

QUICK = Options(select=("accuracy", "data-quality", "split-leakage"))
RNG = np.random.default_rng(0)


def checked(outcome):
    verdicts = {one.question: one.verdict for one in outcome.report.findings}
    assert set(verdicts) == {"accuracy", "data-quality", "split-leakage"}
    assert Verdict.ERROR not in verdicts.values()
    return outcome


def test_a_table_with_gaps_categories_and_dates(tmp_path):
    n = 300
    houses = pd.DataFrame(
        {
            "area": RNG.normal(100, 30, n),
            "district": RNG.choice(["north", 'Zürich "alt"', "a,b"], n),
            "built": pd.Timestamp("1960-01-01") + pd.to_timedelta(RNG.integers(0, 20_000, n), unit="D"),
        }
    )
    price = 2000 * houses["area"] + RNG.normal(0, 9000, n)
    gaps = houses.astype(object).mask(RNG.random(houses.shape) < 0.2)
    gaps.assign(price=price).to_csv(tmp_path / "house.csv", index=False)
    outcome = checked(run(tmp_path / "house.csv", target="price", out=tmp_path / "run", options=QUICK))
    assert any("missing cells" in note for note in outcome.fit.splits.notes)
    predicted = load(tmp_path / "run").predict(pd.read_csv(tmp_path / "house.csv").drop(columns="price"))
    assert np.corrcoef(predicted, price)[0, 1] > 0.6


def picture(k, mode, size):
    noise = RNG.integers(0, 60, (*size, 3), dtype=np.uint8)
    noise[..., k] += 150
    return Image.fromarray(noise).convert(mode)


def test_a_folder_of_mixed_images_with_two_broken_files(tmp_path):
    modes = ["RGB", "L", "RGBA", "P", "CMYK"]
    for k, name in enumerate(["red", "green"]):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(30):
            ending = "jpg" if modes[i % 5] == "CMYK" else "png"
            size = tuple(RNG.integers(10, 40, 2))
            picture(k, modes[i % 5], size).save(tmp_path / "pictures" / name / f"{i}.{ending}")
        (tmp_path / "pictures" / name / "broken.png").write_bytes(b"\x89PNG not really")
    outcome = checked(run(tmp_path / "pictures", out=tmp_path / "run", options=QUICK))
    assert any("2 " in note and "broken.png" in note for note in outcome.fit.splits.notes)
    answer = load(tmp_path / "run").predict([tmp_path / "pictures" / "red" / "0.png"])
    assert answer[0] in ("red", "green")


def test_a_folder_of_sounds(tmp_path):
    for name, pitch in (("low", 200), ("high", 1500)):
        (tmp_path / "sounds" / name).mkdir(parents=True)
        for k in range(30):
            t = np.arange(int(8000 * RNG.uniform(0.2, 0.3))) / 8000
            wave = 0.3 * np.sin(2 * np.pi * pitch * RNG.uniform(0.8, 1.2) * t) + RNG.normal(0, 0.02, len(t))
            soundfile.write(tmp_path / "sounds" / name / f"{k}.wav", wave, 8000)
    outcome = checked(run(tmp_path / "sounds", out=tmp_path / "run", options=QUICK))
    assert outcome.fit.splits.signature.inputs.kind == "sound"
    assert load(tmp_path / "run").predict([tmp_path / "sounds" / "low" / "0.wav"])[0] == "low"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras saves variables so
def test_a_keras_network_from_its_file(tmp_path):
    pytest.importorskip("keras")
    keras = keras_module()
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.save(tmp_path / "cnn.keras")
    outcome = checked(run("digits", network=str(tmp_path / "cnn.keras"), out=tmp_path / "run", options=QUICK))
    score = next(one for one in outcome.report.findings if one.question == "accuracy").estimates["score"]
    assert score.value > 0.9
    assert len(load(tmp_path / "run").predict(np.zeros((2, 1, 8, 8), dtype=np.float32))) == 2


def test_a_hand_written_module(in_tmp, monkeypatch):
    (in_tmp / "written_by_hand.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))\n"
    )
    monkeypatch.syspath_prepend(str(in_tmp))
    outcome = checked(run("digits", network="written_by_hand:build", out=in_tmp / "run", options=QUICK))
    assert outcome.fit.plan.network.factory == "written_by_hand:build"
    with pytest.raises(ValueError, match="--trust"):
        load(in_tmp / "run")
    assert load(in_tmp / "run", trust=True).network is not None
