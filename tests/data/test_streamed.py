import threading

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from equipoise.data.samples import Samples, TensorSamples
from equipoise.data.streamed import StreamedSamples, decode_each, stream_dataset


def planted(n=50, workers=0, ahead=8, decode=None):
    inputs = torch.randn(n, 3, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(n) % 3
    resident = TensorSamples(inputs, targets)
    return resident, StreamedSamples(decode or inputs.__getitem__, targets, workers=workers, ahead=ahead)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("announced", [False, True])
def test_streamed_batches_equal_resident_ones_bit_for_bit(workers, announced):
    resident, streamed = planted(workers=workers)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    if announced:
        streamed.announce(order)
    for index in order.split(7):
        for left, right in zip(resident.batch(index), streamed.batch(index), strict=True):
            assert torch.equal(left, right)
            assert left.dtype == right.dtype
    streamed.close()


def test_it_is_samples_and_not_resident():
    _, streamed = planted()
    assert isinstance(streamed, Samples)
    assert not streamed.resident
    assert len(streamed) == 50


def test_repeated_and_no_positions():
    resident, streamed = planted(workers=2)
    index = torch.tensor([4, 4, 0, 4])
    assert torch.equal(streamed.batch(index)[0], resident.batch(index)[0])
    empty, no_targets = streamed.batch(torch.empty(0, dtype=torch.int64))
    assert empty.shape == (0, 3, 4)
    assert len(no_targets) == 0
    streamed.close()


def test_no_more_samples_wait_than_allowed():
    started, gate = [], threading.Event()

    def decode(position):
        started.append(position)
        gate.wait(5)
        return torch.tensor([float(position)])

    streamed = StreamedSamples(decode, torch.zeros(100), workers=2, ahead=5)
    streamed.announce(torch.arange(100))
    gate.set()
    streamed.batch(torch.arange(3))
    streamed.close()
    assert len(set(started)) <= 3 + 5


def test_announced_samples_are_decoded_once_and_before_they_are_asked_for():
    decoded, ready = [], threading.Semaphore(0)

    def decode(position):
        decoded.append(position)
        ready.release()
        return torch.tensor([position])

    streamed = StreamedSamples(decode, torch.zeros(20), workers=1, ahead=20)
    streamed.announce(torch.arange(20))
    for _ in range(20):
        assert ready.acquire(timeout=5)
    streamed.batch(torch.arange(20))
    assert decoded == list(range(20))
    streamed.close()


def test_a_part_keeps_order_targets_and_names():
    resident, streamed = planted(workers=2)
    part = streamed.select(np.array([9, 2, 30])).select(np.array([2, 0]))
    inputs, targets = part.batch(torch.tensor([0, 1]))
    assert torch.equal(inputs, resident.inputs[[30, 9]])
    assert torch.equal(targets, resident.targets[[30, 9]])
    part.close()


def test_an_error_in_a_worker_names_the_sample_even_in_a_part():
    def decode(position):
        if position == 17:
            raise OSError("cut off")
        return torch.zeros(1)

    streamed = StreamedSamples(decode, torch.zeros(40), name_of=lambda one: f"photo-{one}.png", workers=2)
    part = streamed.select(np.arange(10, 30))
    part.batch(torch.arange(5))
    with pytest.raises(ValueError, match=r"got OSError \(cut off\) from photo-17.png; expected a readable sample"):
        part.batch(torch.arange(20))
    part.close()


def test_bad_positions_shapes_and_settings():
    _, streamed = planted()
    with pytest.raises(IndexError, match="got position 50; expected 0 to 49"):
        streamed.batch(torch.tensor([50]))
    with pytest.raises(IndexError, match="got position -1"):
        streamed.batch(torch.tensor([-1]))
    ragged = StreamedSamples(lambda one: torch.zeros(one + 1), torch.zeros(4))
    with pytest.raises(ValueError, match=r"got shape \(3,\) .* from sample 2; expected \(1,\)"):
        ragged.batch(torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="expected workers >= 0 and ahead >= 1"):
        StreamedSamples(torch.zeros, torch.zeros(4), workers=-1)
    with pytest.raises(ValueError, match="got 3 targets; expected 50"):
        streamed.with_targets(torch.zeros(3))


def test_decode_each_keeps_order_and_collects_what_is_broken():
    kept, heard = [], []

    def decode(position):
        if position % 10 == 3:
            raise ValueError(f"bad\n{position}")
        return torch.tensor(position)

    broken = decode_each(45, decode, lambda one, tensor: kept.append((one, int(tensor))), "read", heard.append)
    assert kept == [(one, one) for one in range(45) if one % 10 != 3]
    assert broken == {one: f"ValueError: bad {one}" for one in (3, 13, 23, 33, 43)}
    assert (heard[-1].done, heard[-1].total, heard[-1].finished) == (45, 45, True)
    assert decode_each(0, decode, lambda one, tensor: None, "read") == {}


def test_running_out_of_memory_is_not_a_broken_file():
    def decode(position):
        raise MemoryError

    with pytest.raises(MemoryError):
        decode_each(3, decode, lambda one, tensor: None, "read")
    with pytest.raises(MemoryError):
        StreamedSamples(decode, torch.zeros(3)).batch(torch.arange(1))


class Listed(Dataset):
    """Items as a user's dataset returns them."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, position):
        item = self.items[position]
        if isinstance(item, Exception):
            raise item
        return item


def test_a_dataset_gives_what_its_items_are():
    inputs, labels = torch.randn(12, 5), torch.arange(12) % 4
    streamed = stream_dataset(TensorDataset(inputs, labels))
    left, right = streamed.batch(torch.tensor([3, 1]))
    assert torch.equal(left, inputs[[3, 1]])
    assert right.tolist() == [3, 1]
    assert right.dtype == torch.int64


@pytest.mark.parametrize(
    ("target", "shape", "dtype"),
    [
        (1.5, (6, 1), torch.float32),
        (np.float64(2), (6, 1), torch.float32),
        (True, (6,), torch.int64),
        (np.int32(3), (6,), torch.int64),
        (torch.tensor([1.0, 2.0]), (6, 2), torch.float32),
        ([0, 1, 1], (6, 3), torch.int64),
    ],
)
def test_targets_become_tensors_of_the_task(target, shape, dtype):
    targets = stream_dataset(Listed([(np.zeros(2), target)] * 6)).targets
    assert (tuple(targets.shape), targets.dtype) == (shape, dtype)


def test_pictures_and_items_without_target():
    from PIL import Image

    picture = Image.new("RGB", (7, 5), (10, 20, 30))
    streamed = stream_dataset(Listed([picture] * 3))
    inputs, targets = streamed.batch(torch.arange(3))
    assert inputs.shape == (3, 3, 5, 7)
    assert inputs[0, :, 0, 0].tolist() == [10, 20, 30]
    assert targets.shape == (3, 0)
    assert stream_dataset(Listed([(np.arange(3), 0)] * 3)).batch(torch.arange(1))[0].dtype == torch.int64


GOOD = (np.zeros(2), 0)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([GOOD, RuntimeError("disk gone")], r"got RuntimeError: disk gone from item 1 of Listed; expected \(input, t"),
        ([GOOD, ("words", 0)], r"from item 1 of Listed; expected \(input, target\) with a numeric input"),
        ([GOOD, {"image": 1}], r"got a dict with the keys image from item 1 of Listed; expected \(input, target\)"),
        ([GOOD, (np.zeros(2), "cat")], r"got the target 'cat' from item 1 of Listed; expected a number"),
        ([GOOD, (np.zeros(2), 0, 1)], r"got 3 values from item 1 of Listed; expected \(input, target\)"),
        ([GOOD, (np.zeros(2), [0, 1])], r"got a target of shape \(2,\) from item 1 of Listed; expected \(\)"),
        ([], r"got Listed with no items; expected some"),
    ],
)
def test_a_dataset_with_a_bad_item_names_it(items, message):
    with pytest.raises(ValueError, match=message):
        stream_dataset(Listed(items))


def test_datasets_without_positions_or_length_are_refused_with_a_cure():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([GOOD])

    class Endless(Dataset):
        def __getitem__(self, position):
            return GOOD

    with pytest.raises(ValueError, match=r"got Stream, which is read from front to back only.*Give it __len__"):
        stream_dataset(Stream())
    with pytest.raises(ValueError, match=r"got Endless without a length; expected a map-style dataset. Add __len__"):
        stream_dataset(Endless())
