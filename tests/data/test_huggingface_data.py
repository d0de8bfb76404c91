import importlib.util

import numpy as np
import pytest

from equipoise.core.data_plan import HuggingFaceData, Split
from equipoise.core.signature import ImageInput, TableInput, TextInput
from equipoise.data.load import load

here = importlib.util.find_spec("datasets") is not None
needs_datasets = pytest.mark.skipif(not here, reason="the extra 'huggingface' (datasets) is not installed")


@pytest.mark.skipif(here, reason="datasets is installed")
def test_without_the_extra_the_message_says_how_to_install_it(tmp_path):
    with pytest.raises(ModuleNotFoundError, match="got no module 'datasets'; expected .*equipoise.huggingface"):
        load(HuggingFaceData(path=str(tmp_path)), 0)


@pytest.fixture
def datasets():
    return pytest.importorskip("datasets")


@needs_datasets
def test_a_table_with_class_labels(datasets, tmp_path):
    features = datasets.Features(
        {
            "x": datasets.Value("float32"),
            "colour": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["no", "yes"]),
        }
    )
    rows = {"x": np.arange(60.0), "colour": ["red", "blue"] * 30, "label": [1, 0, 0] * 20}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "d")
    splits = load(HuggingFaceData(path=str(tmp_path / "d")), 0)
    assert isinstance(splits.signature.inputs, TableInput)
    assert splits.signature.task.classes == ("no", "yes")
    assert splits.test.targets.tolist() == [int(row % 3 == 0) for row in splits.rows["test"]]
    grouped = HuggingFaceData(path=str(tmp_path / "d"), inputs=("x",), split=Split(method="group", column="colour"))
    with pytest.raises(ValueError, match="got 2 groups; expected at least 3"):
        load(grouped, 0)
    with pytest.raises(ValueError, match="got the column 'lable'.* Did you mean 'label'"):
        load(HuggingFaceData(path=str(tmp_path / "d"), target="lable"), 0)


@needs_datasets
def test_parts_and_texts(datasets, tmp_path):
    def part(n):
        texts = {"text": [f"this is sentence number {i}" for i in range(n)], "label": [i % 2 for i in range(n)]}
        return datasets.Dataset.from_dict(texts)

    parts = datasets.DatasetDict({"train": part(40), "test": part(12), "unsupervised": part(5)})
    parts.save_to_disk(tmp_path / "d")
    splits = load(HuggingFaceData(path=str(tmp_path / "d")), 0)
    assert isinstance(splits.signature.inputs, TextInput)
    assert (len(splits.train) + len(splits.validation), len(splits.test)) == (40, 12)
    assert "parts left out: unsupervised" in splits.notes


@needs_datasets
def test_pictures_and_lists(datasets, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 6, 3), dtype=np.uint8)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    from PIL import Image

    pictures = {"image": [Image.fromarray(one) for one in pixels], "label": [i % 2 for i in range(30)]}
    datasets.Dataset.from_dict(pictures, features=features).save_to_disk(tmp_path / "p")
    splits = load(HuggingFaceData(path=str(tmp_path / "p")), 0)
    assert splits.signature.inputs == ImageInput(channels=3, height=8, width=6)
    np.testing.assert_array_equal(splits.test.inputs.permute(0, 2, 3, 1), pixels[splits.rows["test"]])
    lists = {"signal": np.random.default_rng(0).random((30, 5)).tolist(), "label": [i % 2 for i in range(30)]}
    datasets.Dataset.from_dict(lists).save_to_disk(tmp_path / "l")
    assert load(HuggingFaceData(path=str(tmp_path / "l")), 0).signature.inputs.shape == (5,)


@needs_datasets
def test_a_folder_that_holds_no_dataset(datasets, tmp_path):
    with pytest.raises(ValueError, match="got a folder without a saved dataset .* expected one"):
        load(HuggingFaceData(path=str(tmp_path)), 0)
