"""The kernel against plain torch, and both against double precision: activations of every type, shape and layout."""

import numpy as np
import pytest
import torch

from equipoise.vitals import plain
from equipoise.vitals.kernel import BOUNDED, PLAIN, RECTIFIED, Kernel

KERNEL = Kernel()
pytestmark = pytest.mark.skipif(not KERNEL.name, reason="the kernel was not built on this machine")

TYPES = [torch.float32, torch.bfloat16, torch.float16]
MODES = [(PLAIN, None), (RECTIFIED, None), (BOUNDED, (-0.98, 0.98))]
SHAPES = [
    ((32, 10), 1),
    ((7, 33), 1),
    ((5000, 17), 1),
    ((2, 3, 50), 2),
    ((2, 50, 3), 1),
    ((3, 5, 7, 9), 1),
    ((2, 16, 16, 16), 1),
    ((4, 8, 31, 33), 1),
    ((2, 3, 4, 5, 6), 1),
    ((100, 1), 1),
    ((64,), -1),
    ((), -1),
    ((0, 5), 1),
    ((3, 0), 1),
    ((1, 1), 1),
    ((3, 700), 1),
]


def measured(values, axis, mode, bounds):
    """Return scalars and unit sums as the kernel measures them, or None when it cannot read the tensor."""
    board = KERNEL.board()
    board.add(1 if axis < 0 else values.shape[axis], values.dim(), axis)
    board.set(0, mode, *(bounds or (0.0, 0.0)))
    sheet = board.begin()
    if not board.measure(0, values):
        return None
    rows = np.zeros((1, 1, len(plain.SCALARS)))
    board.settle(sheet, rows, 0)
    return rows[0, 0], np.frombuffer(board.totals(0)).reshape(3, -1)


def sample(shape, dtype):
    generator = torch.Generator().manual_seed(len(shape) + sum(shape))
    values = torch.randn(shape, generator=generator) * 3 + 5
    return torch.where(torch.rand(shape, generator=generator) < 0.3, 0.0, values).to(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize(("mode", "bounds"), MODES)
def test_the_kernel_and_plain_torch_say_the_same(dtype, shape, axis, mode, bounds):
    values = sample(shape, dtype)
    layouts = [values]
    if len(shape) == 4:
        layouts.append(values.contiguous(memory_format=torch.channels_last))
    for one in layouts:
        for wrong in (None, float("nan"), float("inf"), float("-inf")):
            seen = one.clone(memory_format=torch.preserve_format)
            if wrong is not None and seen.numel():
                seen[tuple(size // 2 for size in shape)] = wrong
            scalars, units = measured(seen, axis, mode, bounds)
            acted = torch.relu(seen) if mode == RECTIFIED else seen
            wanted, per_unit = plain.activation_statistics(acted, None if axis < 0 else axis, bounds)
            if seen.numel():
                np.testing.assert_allclose(scalars, wanted.numpy(), rtol=2e-5, atol=1e-4)
                np.testing.assert_allclose(units, per_unit.numpy(), rtol=2e-5, atol=1e-3)
            else:
                assert not scalars.any()


@pytest.mark.parametrize("dtype", [*TYPES, torch.float64])
def test_plain_torch_agrees_with_double_precision(dtype):
    values = sample((50, 8, 6, 6), dtype)
    scalars, units = plain.activation_statistics(values, 1, (-0.98, 0.98))
    wide = values.double()
    wanted = {
        "count": wide.numel(),
        "sum": wide.sum(),
        "squares": wide.square().sum(),
        "maximum": wide.abs().max(),
        "zeros": (wide == 0).sum(),
        "saturated": ((wide <= -0.98) | (wide >= 0.98)).sum(),
        "non_finite": 0,
        "rows": 50 * 36,
    }
    for at, name in enumerate(plain.SCALARS):
        assert float(scalars[at]) == pytest.approx(float(wanted[name]), rel=1e-5), name
    inside = (wide > -0.98) & (wide < 0.98)
    for at, one in enumerate((wide, wide.square(), inside.double())):
        assert torch.allclose(units[at], one.sum((0, 2, 3)), rtol=1e-4)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_a_small_deviation_on_a_large_mean_keeps_its_digits(memory):
    """Five million numbers around 1000 with deviation 1: single precision alone would lose it."""
    generator = torch.Generator().manual_seed(0)
    values = (torch.randn(8, 40, 125, 125, generator=generator) + 1000).contiguous(memory_format=memory)
    board = KERNEL.board()
    board.add(40, 4, 1)
    wanted = values.double()
    for turn in range(2):  # the first call knows no mean yet
        rows = np.zeros((1, 1, 8))
        sheet = board.begin()
        assert board.measure(0, values)
        board.settle(sheet, rows, 0)
        count, total, squares = rows[0, 0, :3]
        assert total / count == pytest.approx(wanted.mean().item(), rel=1e-7)
        deviation = np.sqrt(squares / count - (total / count) ** 2)
        assert deviation == pytest.approx(wanted.std(correction=0).item(), rel=0.05 if turn == 0 else 1e-5)


def test_every_half_precision_number_is_read_right():
    bits = torch.arange(2**16, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.float16, torch.bfloat16):
        values = bits.view(dtype)
        finite = values[torch.isfinite(values)]
        scalars, _ = measured(finite.contiguous(), -1, PLAIN, None)
        assert scalars[plain.MAXIMUM] == finite.float().abs().max().item()
        assert scalars[plain.ZEROS] == 2
        scalars, _ = measured(values.contiguous(), -1, PLAIN, None)
        assert scalars[plain.NON_FINITE] == (~torch.isfinite(values)).sum().item()
        _, units = measured(finite[None].contiguous(), 1, PLAIN, None)  # each number alone, as a unit of its own
        assert np.array_equal(units[0], finite.double().numpy())


def test_both_instruction_sets_say_the_same():
    import equipoise.vitals._kernel as module

    values = sample((37, 53), torch.float32)
    wanted = measured(values, 1, PLAIN, None)
    try:
        assert module.prepare(torch, "baseline") == "statistics_baseline"
        found = measured(values, 1, PLAIN, None)
    finally:
        module.prepare(torch)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-5, atol=1e-4)


def test_what_the_kernel_cannot_read_is_left_to_plain_torch():
    class Marked(torch.Tensor):
        pass

    assert measured(torch.randn(4, 3, dtype=torch.float64), 1, PLAIN, None) is None
    assert measured(torch.randn(4, 6)[:, ::2], 1, PLAIN, None) is None
    assert measured(torch.randn(1, 3).expand(4, 3), 1, PLAIN, None) is None
    assert measured(torch.randn(4, 3).to_sparse(), 1, PLAIN, None) is None
    assert measured(torch.empty(4, 3, device="meta"), 1, PLAIN, None) is None
    assert measured(torch.randn(4, 3).as_subclass(Marked), 1, PLAIN, None) is None


def test_several_sheets_add_up_in_one_row():
    first, second = sample((20, 6), torch.float32), sample((9, 6), torch.float32)
    board = KERNEL.board()
    board.add(6, 2, 1)
    rows = np.zeros((3, 1, 8))
    for one in (first, second):
        sheet = board.begin()
        board.measure(0, one)
        board.settle(sheet, rows, 1)
    both = torch.cat([first, second])
    wanted, units = plain.activation_statistics(both, 1, None)
    np.testing.assert_allclose(rows[1, 0], wanted.numpy(), rtol=1e-5)
    np.testing.assert_allclose(np.frombuffer(board.totals(0)).reshape(3, -1), units.numpy(), rtol=1e-5)
    assert not np.frombuffer(board.totals(0)).any()  # they are forgotten once read
    assert not rows[[0, 2]].any()


def test_wrong_places_are_refused():
    board = KERNEL.board()
    with pytest.raises(IndexError, match="got place 0"):
        board.set(0, PLAIN, 0.0, 0.0)
    with pytest.raises(IndexError, match="got place 3"):
        board.totals(3)
