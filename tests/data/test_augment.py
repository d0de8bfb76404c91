import kornia.geometry.transform as kornia_transform
import pytest
import torch

from equipoise.core.recipe import Recipe
from equipoise.core.signature import ArrayInput, Column, ImageInput, SoundInput, TableInput, Task, TextInput
from equipoise.data.augment import augment, check_augmentation, input_kinds

DIGITS = ImageInput(channels=1, height=8, width=8, low=0.0, high=16.0)
PHOTOS = ImageInput(channels=3, height=20, width=30)
SOUND = SoundInput(sample_rate=8000, samples=400)
NUMBERS = TableInput(columns=(Column(name="a", kind="numeric"), Column(name="b", kind="date")))
MIXED = TableInput(columns=(Column(name="a", kind="numeric"), Column(name="c", kind="category", categories=("x", "y"))))
TEXT = TextInput(length=12, vocabulary=100, tokenizer="")
ARRAY = ArrayInput(shape=(5,))
CLASSES = Task(kind="multiclass", classes=("a", "b", "c"))
IMAGE_NAMES = ("flip", "rotate", "shift", "crop", "noise", "erase", "brightness", "mixup", "cutmix")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(spec, n=16):
    drawn = torch.rand((n, spec.channels, spec.height, spec.width), generator=seeded(9))
    return drawn * (spec.high - spec.low) + spec.low, torch.arange(n) % 3


def waves(n=16):
    return torch.rand((n, 400), generator=seeded(9)) * 1.6 - 0.8, torch.arange(n) % 3


def test_every_name_of_the_recipe_is_known():
    names = Recipe(augmentation=IMAGE_NAMES).augmentation
    check_augmentation(names, DIGITS, CLASSES)


@pytest.mark.parametrize("spec", [DIGITS, PHOTOS])
@pytest.mark.parametrize("name", IMAGE_NAMES)
def test_images_change_but_keep_shape_type_and_range_and_repeat_with_the_seed(spec, name):
    inputs, targets = pictures(spec)
    before = inputs.clone()
    state = torch.random.get_rng_state()
    first, _ = augment(inputs, targets, (name,), spec, CLASSES, seeded(1))
    again, _ = augment(inputs, targets, (name,), spec, CLASSES, seeded(1))
    other, _ = augment(inputs, targets, (name,), spec, CLASSES, seeded(2))
    assert first.shape == inputs.shape
    assert first.dtype == inputs.dtype
    assert float(first.min()) >= spec.low
    assert float(first.max()) <= spec.high
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, inputs)
    assert torch.equal(inputs, before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_generator_moves_on():
    inputs, targets = pictures(DIGITS)
    generator = seeded(1)
    first, _ = augment(inputs, targets, ("erase",), DIGITS, CLASSES, generator)
    second, _ = augment(inputs, targets, ("erase",), DIGITS, CLASSES, generator)
    assert not torch.equal(first, second)


def test_flipping_twice_is_nothing_and_about_half_are_flipped():
    inputs, targets = pictures(PHOTOS, 400)
    once, _ = augment(inputs, targets, ("flip",), PHOTOS, CLASSES, seeded(3))
    twice, _ = augment(once, targets, ("flip",), PHOTOS, CLASSES, seeded(3))
    assert torch.equal(twice, inputs)
    flipped = (once == inputs.flip(-1)).flatten(1).all(1)
    assert torch.equal(flipped, ~(once == inputs).flatten(1).all(1))
    assert 150 < int(flipped.sum()) < 250


def ramp(spec, direction):
    """Return pictures whose value is a coordinate in pixels, so that a moved picture says where it came from."""
    rows, columns = torch.meshgrid(torch.arange(spec.height), torch.arange(spec.width), indexing="ij")
    return (rows if direction == "rows" else columns).float().expand(64, 1, -1, -1).clone()


def test_a_shift_moves_by_at_most_a_tenth_and_by_the_same_everywhere():
    spec = ImageInput(channels=1, height=40, width=60)
    for direction, most in (("rows", 4.0), ("columns", 6.0)):
        inputs = ramp(spec, direction)
        moved, _ = augment(inputs, torch.zeros(64).long(), ("shift",), spec, CLASSES, seeded(5))
        offset = (moved - inputs)[:, 0, 8:-8, 8:-8].flatten(1)
        assert (offset.amax(1) - offset.amin(1)).max() < 1e-3
        assert offset.abs().max() <= most + 1e-3
        assert offset.abs().max() > 0.8 * most


def test_a_rotation_is_the_rotation_of_kornia_by_the_same_angle():
    """The angle is read off a ramp; kornia then turns another picture of unequal sides by it."""
    spec = ImageInput(channels=1, height=41, width=61)
    inputs = ramp(spec, "columns")
    across, _ = augment(inputs, torch.zeros(64).long(), ("rotate",), spec, CLASSES, seeded(6))
    slope = across[:, 0, 20, 31] - across[:, 0, 20, 30]  # cos of the angle
    rise = across[:, 0, 21, 30] - across[:, 0, 20, 30]  # minus its sin
    angle = torch.rad2deg(torch.atan2(-rise, slope))
    assert angle.abs().max() <= 15.0 + 1e-2
    assert angle.abs().max() > 12.0
    smooth = torch.rand((1, 1, 6, 8), generator=seeded(7)) * 255
    picture = (
        torch.nn.functional.interpolate(smooth, size=(41, 61), mode="bicubic").clamp(0, 255).expand(64, -1, -1, -1)
    )
    ours, _ = augment(picture, torch.zeros(64).long(), ("rotate",), spec, CLASSES, seeded(6))
    theirs = kornia_transform.rotate(picture.clone(), angle, padding_mode="border", align_corners=True)
    assert (ours - theirs)[:, :, 10:-10, 15:-15].abs().max() < 1.0


def test_a_crop_enlarges_without_leaving_the_picture():
    spec = ImageInput(channels=1, height=40, width=60)
    inputs = ramp(spec, "columns")
    cropped, _ = augment(inputs, torch.zeros(64).long(), ("crop",), spec, CLASSES, seeded(5))
    scale = cropped[:, 0, 20, 31] - cropped[:, 0, 20, 30]
    assert float(scale.min()) >= 0.8 - 1e-3
    assert float(scale.max()) <= 1.0 + 1e-3
    left = cropped[:, 0, 20, 30] - 30.5 * scale + 0.5  # the source column of the left border
    assert float(left.min()) >= -1e-2
    assert float((left + 60 * scale).max()) <= 60 + 1e-2
    assert float(left.max()) > 5


def test_erasing_hides_one_rectangle_in_about_half_of_the_images():
    inputs, targets = pictures(PHOTOS, 200)
    erased, _ = augment(inputs, targets, ("erase",), PHOTOS, CLASSES, seeded(4))
    changed = (erased - inputs).abs().amax(1) > 1e-3
    touched = changed.flatten(1).any(1)
    assert 70 < int(touched.sum()) < 130
    for one in changed[touched]:
        rows, columns = one.any(1), one.any(0)
        assert int(one.sum()) == int(rows.sum()) * int(columns.sum())
        assert one.float().mean() < 0.3
    assert torch.allclose(erased.transpose(0, 1)[:, changed], torch.tensor(127.5), atol=1e-3)


def test_brightness_adds_one_number_an_image():
    inputs = torch.full((50, 1, 8, 8), 8.0)
    brighter, _ = augment(inputs, torch.zeros(50).long(), ("brightness",), DIGITS, CLASSES, seeded(4))
    change = (brighter - inputs).flatten(1)
    assert torch.allclose(change, change[:, :1].expand_as(change), atol=1e-5)
    assert 0.9 * 3.2 < float(change.abs().max()) <= 3.2 + 1e-4
    assert float(change.min()) < -1


def test_noise_has_its_stated_spread():
    inputs = torch.full((200, 1, 8, 8), 8.0)
    noisy, _ = augment(inputs, torch.zeros(200).long(), ("noise",), DIGITS, CLASSES, seeded(4))
    assert abs(float((noisy - inputs).std()) - 0.8) < 0.02
    wave, targets = waves()
    louder, _ = augment(wave, targets, ("noise",), SOUND, CLASSES, seeded(4))
    assert abs(float((louder - wave).std() / wave.std()) - 0.05) < 0.005


def test_noise_on_tables_leaves_gaps_and_categories():
    rows = torch.randn((500, 2), generator=seeded(2)) * torch.tensor([100.0, 1.0])
    rows[:, 1] = (rows[:, 1] > 0).float()
    rows[::7, 0] = torch.nan
    noisy, _ = augment(rows, torch.zeros(500).long(), ("noise",), MIXED, CLASSES, seeded(4))
    assert torch.equal(noisy.isnan(), rows.isnan())
    assert torch.equal(noisy[:, 1], rows[:, 1])
    assert abs(float((noisy - rows)[:, 0].nan_to_num().square().mean().sqrt()) - 5.0 * (6 / 7) ** 0.5) < 0.4


def test_noise_on_text_makes_a_tenth_of_the_words_unknown_and_leaves_padding():
    tokens = torch.randint(2, 100, (300, 12), generator=seeded(1))
    tokens[:, 9:] = 0
    noisy, _ = augment(tokens, torch.zeros(300).long(), ("noise",), TEXT, CLASSES, seeded(4))
    assert noisy.dtype == torch.int64
    assert torch.equal(noisy == 0, tokens == 0)
    changed = noisy != tokens
    assert (noisy[changed] == 1).all()
    assert 0.08 < float(changed[:, :9].float().mean()) < 0.12


def test_a_sound_is_shifted_with_silence_and_erased_in_one_stretch():
    wave, targets = waves(50)
    shifted, _ = augment(wave, targets, ("shift",), SOUND, CLASSES, seeded(4))
    for before, after in zip(wave, shifted, strict=True):
        steps = [one for one in range(-40, 41) if torch.equal(after, _delayed(before, one))]
        assert len(steps) == 1
    erased, _ = augment(wave, targets, ("erase",), SOUND, CLASSES, seeded(4))
    for before, after in zip(wave, erased, strict=True):
        hidden = (before != after).nonzero().flatten()
        assert torch.equal(hidden, torch.arange(int(hidden[0]), int(hidden[-1]) + 1))
        assert 7 <= len(hidden) <= 80


def _delayed(wave, steps):
    moved = torch.zeros_like(wave)
    if steps >= 0:
        moved[steps:] = wave[: len(wave) - steps]
    else:
        moved[:steps] = wave[-steps:]
    return moved


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_mixup_mixes_inputs_and_classes_with_one_weight(kind):
    task = Task(kind=kind, classes=("a", "b", "c")[: 2 if kind == "binary" else 3])
    inputs = torch.eye(3)[torch.arange(30) % len(task.classes)][:, None, None, :].expand(30, 1, 4, 3).clone()
    spec = ImageInput(channels=1, height=4, width=3, low=0.0, high=1.0)
    mixed, targets = augment(inputs, torch.arange(30) % len(task.classes), ("mixup",), spec, task, seeded(11))
    assert targets.shape == (30, len(task.classes))
    assert targets.dtype == torch.float32
    assert torch.allclose(targets.sum(1), torch.ones(30))
    assert torch.allclose(mixed[:, 0, 0, : len(task.classes)], targets, atol=1e-6)  # the pixels say the class


def test_mixup_of_a_linear_law_keeps_the_law():
    inputs = torch.randn((40, 5), generator=seeded(1))
    slope = torch.tensor([[1.0], [2.0], [0.5], [-1.0], [3.0]])
    mixed, targets = augment(
        inputs, inputs @ slope, ("mixup",), ARRAY, Task(kind="regression", targets=("y",)), seeded()
    )
    assert not torch.equal(mixed, inputs)
    assert torch.allclose(mixed @ slope, targets, atol=1e-5)


def test_nothing_asked_nothing_done():
    inputs, targets = pictures(DIGITS)
    same, same_targets = augment(inputs, targets, (), DIGITS, CLASSES, seeded())
    assert torch.equal(same, inputs)
    assert torch.equal(same_targets, targets)
    empty, _ = augment(inputs[:0], targets[:0], ("rotate",), DIGITS, CLASSES, seeded())
    assert len(empty) == 0


@pytest.mark.parametrize(
    ("name", "spec", "task", "message"),
    [
        ("flip", NUMBERS, CLASSES, r"got the augmentation 'flip' for table inputs.*expected one of noise, mixup"),
        (
            "mixup",
            MIXED,
            CLASSES,
            r"got the augmentation 'mixup' for table inputs.*expected one of noise. Remove 'mixup'",
        ),
        ("mixup", TEXT, CLASSES, r"got the augmentation 'mixup' for text inputs.*expected one of noise"),
        ("rotate", TEXT, CLASSES, r"got the augmentation 'rotate' for text inputs"),
        ("rotate", SOUND, CLASSES, r"for sound inputs.*expected one of shift, noise, erase, mixup"),
        ("crop", ARRAY, CLASSES, r"for array inputs.*expected one of noise, mixup"),
        (
            "mixup",
            ARRAY,
            Task(kind="sequence-labelling", classes=("a", "b")),
            r"the task sequence-labelling; expected one",
        ),
        ("mixup", ARRAY, Task(kind="clustering", clusters=3), r"and the task clustering; expected one of noise"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_cure(name, spec, task, message):
    with pytest.raises(ValueError, match=message):
        augment(torch.zeros(2, 2), torch.zeros(2), (name,), spec, task, seeded())


@pytest.mark.parametrize("spec", [DIGITS, PHOTOS])
def test_cutmix_pastes_one_rectangle_and_mixes_targets_by_its_share(spec):
    n = 30
    inputs = torch.arange(n, dtype=torch.float32)[:, None, None, None] / n * spec.high
    inputs = inputs.expand(n, spec.channels, spec.height, spec.width).contiguous()
    mixed, targets = augment(inputs, torch.arange(n) % 3, ("cutmix",), spec, CLASSES, seeded(4))
    moved = mixed != inputs
    share = moved.float().mean((1, 2, 3))
    assert torch.allclose(targets.sum(1), torch.ones(n))
    where = moved[share.argmax(), 0]
    rows, columns = where.any(1).nonzero()[:, 0], where.any(0).nonzero()[:, 0]
    assert int(where.sum()) == len(rows) * len(columns)  # a whole rectangle
    own = targets[torch.arange(n), torch.arange(n) % 3]
    different = (own < 1) & (share > 0)
    assert bool(different.any())
    assert torch.allclose(own[different], 1 - share[different], atol=1e-5)


def test_cutmix_pastes_a_stretch_of_sound_and_steps_of_a_sequence():
    sequence = ArrayInput(shape=(20, 3), axes="steps,features")
    inputs = torch.arange(12, dtype=torch.float32)[:, None, None].expand(12, 20, 3).contiguous()
    mixed, _ = augment(inputs, torch.arange(12) % 3, ("cutmix",), sequence, CLASSES, seeded(2))
    moved = (mixed != inputs).any(2)
    assert bool(moved.any())
    for row in moved[moved.any(1)]:
        where = row.nonzero()[:, 0]
        assert int(where[-1] - where[0]) + 1 == len(where)
    wave, targets = waves()
    cut, _ = augment(wave, targets, ("cutmix",), SOUND, CLASSES, seeded(2))
    assert cut.shape == wave.shape
    with pytest.raises(ValueError, match="cutmix"):
        check_augmentation(("cutmix",), ARRAY, CLASSES)


def test_mixup_and_cutmix_together_take_turns():
    inputs, targets = pictures(DIGITS)
    alone = {
        name: [augment(inputs, targets, (name,), DIGITS, CLASSES, seeded(i))[0] for i in range(8)]
        for name in ("mixup", "cutmix")
    }
    both = [augment(inputs, targets, ("mixup", "cutmix"), DIGITS, CLASSES, seeded(i))[0] for i in range(8)]
    pasted = [bool(((one == inputs) | torch.isin(one, inputs)).all()) for one in both]
    assert 0 < sum(pasted) < 8
    assert all(((one == inputs) | torch.isin(one, inputs)).all() for one in alone["cutmix"])


def test_noise_is_as_strong_as_it_is_told():
    rows = torch.randn(4000, 5, generator=seeded(1))
    for level in (0.1, 0.7):
        noisy, _ = augment(rows, torch.zeros(4000).long(), ("noise",), ARRAY, CLASSES, seeded(2), noise=level)
        assert float((noisy - rows).std()) == pytest.approx(level, rel=0.05)


def test_the_kinds_of_inputs_of_an_augmentation():
    assert input_kinds("flip") == ("image",)
    assert set(input_kinds("noise")) == {"image", "sound", "table", "text", "array"}
