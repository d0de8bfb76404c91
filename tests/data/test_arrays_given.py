import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from equipoise.core.data_plan import ArrayFile, Split
from equipoise.core.signature import ArrayInput, ImageInput, TableInput, TextInput
from equipoise.data.decode import decode
from equipoise.data.given import splits_from
from equipoise.data.given_dataset import dataset_splits
from equipoise.data.load import load
from equipoise.data.split import Division
from equipoise.data.task import Aim


def rng(seed=0):
    return np.random.default_rng(seed)


def test_an_npz_with_the_usual_names(tmp_path):
    x, y = rng().standard_normal((60, 5)), rng(1).integers(0, 3, 60)
    np.savez(tmp_path / "a.npz", X=x, y=y)
    splits = load(ArrayFile(path=str(tmp_path / "a.npz")), 0)
    assert splits.signature.inputs == ArrayInput(shape=(5,), axes="features")
    assert splits.signature.task.kind == "multiclass"
    for part, rows in splits.rows.items():
        np.testing.assert_array_equal(splits.part(part).inputs, x[rows].astype(np.float32))
        np.testing.assert_array_equal(splits.part(part).targets, y[rows])
    assert torch.equal(decode(splits.signature, x[splits.rows["test"]]), splits.test.inputs)
    assert decode(splits.signature, x[0]).shape == (1, 5)


def test_parts_divided_beforehand_are_kept(tmp_path):
    images, labels = rng().integers(0, 256, (90, 6, 5), dtype=np.uint8), np.arange(90) % 3
    np.savez(tmp_path / "m.npz", x_train=images[:60], y_train=labels[:60], x_test=images[60:], y_test=labels[60:])
    splits = load(ArrayFile(path=str(tmp_path / "m.npz")), 0)
    assert splits.signature.inputs == ImageInput(channels=1, height=6, width=5, low=0, high=255)
    np.testing.assert_array_equal(splits.test.inputs[:, 0], images[60:])
    assert len(splits.train) + len(splits.validation) == 60
    assert "parts as divided in the file: train, test" in splits.notes


def test_group_and_time_arrays(tmp_path):
    np.savez(
        tmp_path / "a.npz", x=rng().random((80, 2)), y=np.arange(80) % 2, who=np.arange(80) % 8, when=np.arange(80)
    )
    path = str(tmp_path / "a.npz")
    splits = load(ArrayFile(path=path, split=Split(method="group", column="who")), 0)
    assert set(splits.groups["train"]).isdisjoint(splits.groups["test"])
    splits = load(ArrayFile(path=path, split=Split(method="time", column="when")), 0)
    assert splits.rows["test"].tolist() == list(range(64, 80))


@pytest.mark.parametrize(
    ("shape", "dtype", "axes", "expected"),
    [
        ((40,), float, None, ArrayInput(shape=(1,), axes="features")),
        ((40, 7, 3), float, None, ArrayInput(shape=(7, 3), axes="steps,features")),
        ((40, 2, 2, 2, 2), float, None, ArrayInput(shape=(2, 2, 2, 2), axes="any")),
        ((40, 5, 6, 3), float, None, ImageInput(channels=3, height=5, width=6, low=0, high=1)),
        ((40, 3, 5, 6), float, None, ImageInput(channels=3, height=5, width=6, low=0, high=1)),
        ((40, 5, 6), float, "image", ImageInput(channels=1, height=5, width=6, low=0, high=1)),
        ((40, 5, 6), float, "any", ArrayInput(shape=(5, 6), axes="any")),
    ],
)
def test_axes(shape, dtype, axes, expected):
    splits = splits_from((rng().random(shape).astype(dtype), np.arange(40) % 2), axes=axes)
    assert splits.signature.inputs == expected


def test_pixel_ranges():
    images = rng().random((40, 1, 4, 4))
    for scale, shift, expected in ((255, 0, (0, 255)), (2, -1, (-1, 1)), (16, 0, (0, 16)), (1, 0, (0, 1))):
        grown = np.round(images * scale) + shift if scale > 2 else images * scale + shift
        grown[0, 0, 0, :2] = shift, shift + scale
        spec = splits_from((grown, np.arange(40) % 2), axes="image").signature.inputs
        assert (spec.low, spec.high) == expected


def test_tensors_lists_frames_texts_and_datasets_are_all_data():
    x, y = rng().standard_normal((40, 3)).astype(np.float32), np.arange(40) % 2
    from_arrays = splits_from((x, y))
    for data in (
        (torch.from_numpy(x), torch.from_numpy(y)),
        [x.tolist(), y.tolist()],
        TensorDataset(torch.from_numpy(x), torch.from_numpy(y)),
    ):
        assert splits_from(data).digest == from_arrays.digest
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    separate = splits_from((frame, pd.Series(y, name="sick")))
    together = splits_from(frame.assign(sick=y), targets=("sick",))
    assert isinstance(separate.signature.inputs, TableInput)
    assert separate.digest == together.digest
    assert separate.signature.task.targets == ("sick",)
    texts = splits_from(([f"word {i}" for i in range(40)], ["a", "b"] * 20))
    assert isinstance(texts.signature.inputs, TextInput)
    assert splits_from(texts) is texts
    codes = splits_from(x, task="reconstruction")
    assert codes.train.targets.shape == (26, 0)


def test_targets_of_several_columns_and_steps():
    x = rng().standard_normal((40, 6, 2))
    labels = (x[:, :, 0] > 0).astype(int)
    splits = splits_from((x, labels))
    assert splits.signature.task.kind == "sequence-labelling"
    assert splits.train.targets.shape == (26, 6)
    splits = splits_from((x[:, 0], x[:, 1]), targets=("north", "east"))
    assert splits.signature.task.targets == ("north", "east")
    assert splits.train.targets.shape == (26, 2)


def test_a_dict_of_parts():
    x, y = rng().standard_normal((60, 3)), np.arange(60) % 2
    parts = {"train": (x[:40], y[:40]), "validation": (x[40:50], y[40:50]), "test": (x[50:], y[50:])}
    splits = splits_from(parts)
    np.testing.assert_array_equal(splits.test.inputs, x[50:].astype(np.float32))
    np.testing.assert_array_equal(splits.train.targets, y[:40])
    frames = {name: pd.DataFrame(one[0], columns=list("abc")).assign(y=one[1]) for name, one in parts.items()}
    assert len(splits_from(frames).validation) == 10
    datasets = {name: TensorDataset(torch.tensor(one[0]), torch.tensor(one[1])) for name, one in parts.items()}
    assert torch.equal(splits_from(datasets).test.inputs, splits.test.inputs)
    short = splits_from({"train": parts["train"], "test": parts["test"]})
    assert (len(short.train), len(short.validation), len(short.test)) == (26 + 8, 6, 10)


class Pictures(Dataset):
    """Items with class names, as folders of pictures give them."""

    classes = ("cat", "dog")

    def __len__(self):
        return 50

    def __getitem__(self, i):
        generator = torch.Generator().manual_seed(i)
        return torch.rand(3, 4, 4, generator=generator), i % 2


def test_a_dataset_with_class_names():
    splits = splits_from(Pictures())
    assert splits.signature.task.classes == ("cat", "dog")
    assert splits.train.resident


def test_a_streamed_dataset_holds_the_same_samples():
    division = Division(Split(), 0)
    resident = dataset_splits(Pictures(), Aim(), division)
    streamed = dataset_splits(Pictures(), Aim(), division, streamed=True)
    assert not streamed.train.resident
    assert streamed.signature == resident.signature
    for part in ("train", "validation", "test"):
        index = torch.arange(len(resident.part(part)))
        for left, right in zip(resident.part(part).batch(index), streamed.part(part).batch(index), strict=True):
            assert torch.equal(left, right)
    np.testing.assert_allclose(streamed.preprocessing.inputs.mean, resident.preprocessing.inputs.mean)


def test_one_missing_cell_a_text_does_not_turn_texts_into_arrays():
    splits = splits_from(([*(f"word {i}" for i in range(39)), None], ["a", "b"] * 20))
    assert "1 of 40 rows were dropped: their text is empty" in splits.notes
