import numpy as np
import pytest
import torch
from PIL import Image

from equipoise.core.data_plan import ImageData, Split
from equipoise.core.signature import ImageInput
from equipoise.data.images import decode_images, load_images
from equipoise.data.pictures import pixels


def fill(folder, name, n, colour=(200, 30, 40), size=(12, 10), suffix="png", seed=0):
    """Write n noisy images of a class."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng([seed, len(name)])
    for i in range(n):
        noise = generator.integers(-25, 25, (size[1], size[0], 3))
        Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(place / f"{i:03d}.{suffix}")


@pytest.fixture
def two_classes(tmp_path):
    fill(tmp_path, "red", 12)
    fill(tmp_path, "blue", 12, (20, 30, 220))
    return tmp_path


def plan(folder, **changes):
    return ImageData(path=str(folder), **changes)


def everything(splits):
    parts = [splits.part(name) for name in ("train", "validation", "test")]
    return [part.batch(torch.arange(len(part))) for part in parts]


def test_pixels_and_classes_are_those_of_the_files(two_classes):
    splits = load_images(plan(two_classes), 0)
    assert splits.signature.inputs == ImageInput(channels=3, height=10, width=12)
    assert (splits.signature.task.kind, splits.signature.task.classes) == ("binary", ("blue", "red"))
    files = sorted((two_classes / "blue").iterdir()) + sorted((two_classes / "red").iterdir())
    for name in ("train", "validation", "test"):
        inputs, targets = splits.part(name).batch(torch.arange(len(splits.part(name))))
        for one, target, row in zip(inputs, targets, splits.rows[name], strict=True):
            assert np.array_equal(one.numpy(), np.asarray(Image.open(files[row])).transpose(2, 0, 1))
            assert int(target) == (files[row].parent.name == "red")
    assert sorted(np.concatenate(list(splits.rows.values()))) == list(range(24))
    assert splits.notes == ()


def test_streamed_equals_resident_bit_for_bit(two_classes):
    fill(two_classes, "red", 5, size=(20, 31), suffix="jpg")
    resident = load_images(plan(two_classes), 3)
    streamed = load_images(plan(two_classes, streamed=True), 3)
    assert resident.train.resident
    assert not streamed.train.resident
    for left, right in zip(everything(resident), everything(streamed), strict=True):
        assert torch.equal(left[0], right[0])
        assert torch.equal(left[1], right[1])
    assert resident.preprocessing == streamed.preprocessing
    assert any("decoded batch by batch" in note for note in streamed.notes)
    assert load_images(plan(two_classes, streamed=True), 3).digest == streamed.digest


def test_same_seed_same_data_and_another_seed_another_division(two_classes):
    first, again, other = (load_images(plan(two_classes), seed) for seed in (1, 1, 2))
    assert first.digest == again.digest
    assert not np.array_equal(first.rows["train"], other.rows["train"])


def test_a_mixed_folder_is_read_and_every_repair_is_said(two_classes):
    red, blue = two_classes / "red", two_classes / "blue"
    Image.new("P", (12, 10)).save(red / "palette.gif")
    Image.new("RGBA", (12, 10), (0, 0, 0, 0)).save(red / "clear.png")
    Image.fromarray(np.full((10, 12), 30000, np.uint16)).save(red / "deep.png")
    Image.new("CMYK", (12, 10)).save(blue / "print.jpg")
    turned = Image.new("RGB", (10, 12), (0, 0, 255))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(blue / "turned.jpg", exif=exif)
    frames = [Image.new("L", (12, 10), value) for value in (10, 200)]
    frames[0].save(blue / "moving.gif", save_all=True, append_images=frames[1:])
    Image.new("RGB", (40, 50)).save(blue / "large.webp")
    Image.new("RGB", (12, 10)).save(blue / "scan.TIFF", format="TIFF")
    Image.new("RGB", (12, 10)).save(blue / "old.bmp")
    (red / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    whole = (red / "000.png").read_bytes()
    (blue / "cut.png").write_bytes(whole[: len(whole) // 2])
    (red / "notes.txt").write_text("hello")
    (red / ".hidden.png").write_bytes(b"x")
    heard = []
    splits = load_images(plan(two_classes), 0, on_progress=heard.append)
    notes = " ".join(splits.notes)
    assert sum(map(len, (splits.train, splits.validation, splits.test))) == 24 + 9
    for expected in (
        "2 of 35 files could not be read and were left out: blue/cut.png (",
        "red/broken.png (",
        "Left out, since no images: 1 .txt.",
        "1 of 34 images were brought to 10x12 pixels (height x width), the median size",
        "1 of 34 images had transparent parts and were laid on white",
        "1 of 34 images had more than 8 bits a pixel",
        "1 of 34 images had several frames",
        "1 of 34 images were turned as their EXIF data say",
        "images were converted to colour",
        "images show one colour throughout",
    ):
        assert expected in notes
    assert "hidden" not in notes
    assert heard[-1].finished


def test_a_grey_folder_stays_grey_and_can_be_asked_for_in_colour(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(8):
            Image.fromarray(np.full((6, 6), 10 * i, np.uint8)).save(tmp_path / name / f"{i}.png")
    assert load_images(plan(tmp_path), 0).signature.inputs.channels == 1
    colour = load_images(plan(tmp_path, mode="colour"), 0)
    inputs, _ = colour.train.batch(torch.arange(3))
    assert inputs.shape[1] == 3
    assert torch.equal(inputs[:, 0], inputs[:, 2])


def test_the_median_size_is_capped_and_the_plan_wins(tmp_path):
    for name in ("a", "b"):
        fill(tmp_path, name, 5, size=(200, 100))
    spec = load_images(plan(tmp_path), 0).signature.inputs
    assert (spec.height, spec.width) == (32, 64)
    spec = load_images(plan(tmp_path, height=20, width=30, mode="grey"), 0).signature.inputs
    assert (spec.channels, spec.height, spec.width) == (1, 20, 30)


def test_classes_named_by_numbers_are_ordered_by_size(tmp_path):
    for name in ("10", "9", "2"):
        fill(tmp_path, name, 4)
    assert load_images(plan(tmp_path), 0).signature.task.classes == ("2", "9", "10")


def test_groups_are_the_folders_inside_the_classes(tmp_path):
    for name in ("a", "b"):
        for person in range(6):
            fill(tmp_path, f"{name}/person-{person}", 3)
    splits = load_images(plan(tmp_path, split=Split(method="group")), 0)
    seen = [set(splits.groups[part]) for part in ("train", "validation", "test")]
    assert set.union(*seen) == {f"person-{one}" for one in range(6)}
    assert sum(map(len, seen)) == 6


def test_reconstruction_needs_no_classes(tmp_path):
    fill(tmp_path, ".", 12)
    splits = load_images(plan(tmp_path, task="reconstruction"), 0)
    assert splits.train.batch(torch.arange(2))[1].shape == (2, 0)
    assert load_images(plan(tmp_path, task="clustering", clusters=3), 0).signature.task.clusters == 3


def no_folder(folder):
    return plan(folder / "nowhere")


def a_file(folder):
    (folder / "x.png").write_bytes(b"")
    return plan(folder / "x.png")


def no_classes(folder):
    fill(folder, ".", 4)
    return plan(folder)


def empty_class(folder):
    fill(folder, "a", 4)
    (folder / "b").mkdir()
    return plan(folder)


def one_class(folder):
    fill(folder, "a", 9)
    return plan(folder)


def mostly_broken(folder):
    fill(folder, "a", 3)
    fill(folder, "b", 3)
    for i in range(8):
        (folder / "a" / f"bad{i}.jpg").write_bytes(b"no image")
    return plan(folder)


def class_ends_empty(folder):
    fill(folder, "a", 9)
    (folder / "b").mkdir()
    (folder / "b" / "bad.png").write_bytes(b"no image")
    return plan(folder)


def class_ends_empty_when_decoded(folder):
    fill(folder, "a", 9)
    fill(folder, "b", 1)
    path = folder / "b" / "000.png"
    path.write_bytes(path.read_bytes()[:60])
    return plan(folder)


def wrong_task(folder):
    fill(folder, "a", 9)
    return plan(folder, task="regression")


def not_binary(folder):
    for name in "abc":
        fill(folder, name, 4)
    return plan(folder, task="binary")


def by_time(folder):
    for name in "ab":
        fill(folder, name, 6)
    return plan(folder, split=Split(method="time"))


def no_groups(folder):
    for name in "ab":
        fill(folder, name, 6)
    return plan(folder, split=Split(method="group"))


def no_cluster_count(folder):
    fill(folder, ".", 12)
    return plan(folder, task="clustering")


def too_few(folder):
    for name in "ab":
        fill(folder, name, 2)
    return plan(folder)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_folder, r"got '.*nowhere', which is not there; expected a folder"),
        (a_file, r"got a file; expected a folder"),
        (no_classes, r"without sub-folders; expected one sub-folder a class.*Move the images into such"),
        (empty_class, r"got the class folder .*b without images \(0 other files\); expected at least one file"),
        (one_class, r"got one class only \(a\) in .*; expected at least two sub-folders. Add another"),
        (mostly_broken, r"got 8 unreadable files of 14 in .*: a/bad0.jpg .* and 3 more; expected at most half"),
        (class_ends_empty, r"got no readable file in the class 'b'.*b/bad.png"),
        (class_ends_empty_when_decoded, r"got no readable file in the class 'b'.*b/000.png"),
        (wrong_task, r"got task 'regression' for the folder .*; expected binary, multiclass"),
        (not_binary, r"got 3 classes in .* and task 'binary'; expected two classes"),
        (by_time, r"got split method 'time' for the folder .*; expected stratified, random or group"),
        (no_groups, r"got split method 'group', and a/000.png in no group; expected one folder a group"),
        (no_cluster_count, r"got clustering of .* without a number of clusters; expected at least 2. Set `clusters`"),
        (too_few, r"got 4 samples; expected at least 8"),
    ],
)
def test_a_bad_folder_is_refused_with_a_cure(tmp_path, make, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_images(make(tmp_path), 0)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(two_classes):
    import struct
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 12_000, 10_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (two_classes / "red" / "bomb.png").write_bytes(bomb)
    notes = load_images(plan(two_classes), 0).notes
    assert any("1 of 25 files could not be read" in note and "red/bomb.png" in note for note in notes)


SPEC = ImageInput(channels=3, height=10, width=12)
GREY = ImageInput(channels=1, height=8, width=8, low=0.0, high=16.0)


def test_predicting_reads_files_as_training_did(two_classes):
    splits = load_images(plan(two_classes), 0)
    files = sorted((two_classes / "blue").iterdir()) + sorted((two_classes / "red").iterdir())
    inputs, _ = splits.test.batch(torch.arange(len(splits.test)))
    chosen = [files[row] for row in splits.rows["test"]]
    assert torch.equal(decode_images(splits.signature.inputs, chosen), inputs)
    assert torch.equal(decode_images(splits.signature.inputs, [Image.open(one) for one in chosen]), inputs)
    assert torch.equal(decode_images(splits.signature.inputs, str(chosen[0])), inputs[:1])


@pytest.mark.parametrize("shape", [(10, 12, 3), (3, 10, 12), (4, 3, 10, 12), (4, 10, 12, 3), (4, 360)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.int64])
def test_arrays_of_the_right_size_are_taken_as_they_are(shape, kind):
    array = np.random.default_rng(0).integers(0, 256, shape).astype(kind)
    decoded = decode_images(SPEC, array)
    expected = array.reshape(-1, *array.shape[-3:]) if len(shape) > 2 else array.reshape(-1, 3, 10, 12)
    if shape[-1] == 3:
        expected = expected.transpose(0, 3, 1, 2)
    assert decoded.dtype == torch.float32
    assert np.array_equal(decoded.numpy(), expected)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (5, 8, 8), (5, 1, 8, 8), (5, 8, 8, 1), (5, 64), (64,)])
def test_grey_arrays_keep_their_own_range(shape):
    array = np.random.default_rng(0).integers(0, 17, shape).astype(np.float64)
    decoded = decode_images(GREY, torch.from_numpy(array))
    assert np.array_equal(decoded.numpy(), array.reshape(-1, 1, 8, 8))


def test_a_picture_of_another_size_is_resized_like_a_file(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (31, 20, 3)).astype(np.uint8)
    Image.fromarray(array).save(tmp_path / "x.png")
    assert torch.equal(decode_images(SPEC, array), decode_images(SPEC, tmp_path / "x.png"))
    assert decode_images(SPEC, array[..., 0]).shape == (1, 3, 10, 12)


def test_a_picture_is_brought_to_the_range_of_the_network():
    assert torch.equal(decode_images(GREY, Image.new("L", (20, 20), 255)), torch.full((1, 1, 8, 8), 16.0))


@pytest.mark.parametrize(
    ("spec", "raw", "message"),
    [
        (SPEC, "nowhere.png", r"got nowhere.png, which is no file; expected an image file"),
        (SPEC, [], r"got an empty list; expected at least one image"),
        (SPEC, np.zeros((5, 5, 5, 5)), r"got the image of shape \(5, 5, 5, 5\); expected \(3, 10, 12\)"),
        (SPEC, np.full((3, 10, 12), 300), r"got pixels 300 to 300 in the image; expected 0 to 255"),
        (SPEC, np.full((3, 10, 12), np.nan), r"got 360 pixels of the image that are NaN or infinite"),
        (SPEC, np.full((3, 10, 12), 0.5), r"expected the range 0 to 255.*Multiply by 255"),
        (SPEC, [np.zeros((3, 10, 12)), object()], r"got object as image 1; expected a path, a Pillow image"),
        (SPEC, np.zeros((0, 3, 10, 12)), r"with no pixels; expected some"),
        (GREY, np.zeros((9, 9)), r"got the image of shape \(9, 9\); expected \(1, 8, 8\)"),
        (ImageInput(channels=2, height=4, width=4), Image.new("L", (4, 4)), r"a network that takes 2 channels"),
    ],
)
def test_bad_pictures_are_refused_with_a_cure(spec, raw, message):
    with pytest.raises(ValueError, match=message):
        decode_images(spec, raw)


def test_a_broken_file_to_predict_is_named(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"got UnidentifiedImageError .* from .*x.png; expected a whole image"):
        decode_images(SPEC, tmp_path / "x.png")


def test_pixel_values_of_every_mode():
    assert pixels(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), 3, 4, 4).min() == 255
    half = pixels(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), 1, 4, 4)
    assert abs(int(half[0, 0, 0]) - 127) <= 1
    deep = Image.fromarray(np.array([[0, 257, 65535]], np.uint16))
    assert pixels(deep, 1, 1, 3).tolist() == [[[0, 1, 255]]]
    assert pixels(Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)), 1, 1, 3).tolist() == [[[0, 128, 255]]]
    assert pixels(Image.fromarray(np.array([[0, 7, 200]], np.int32)), 1, 1, 3).tolist() == [[[0, 7, 200]]]
    assert pixels(Image.new("1", (2, 2), 1), 1, 2, 2).min() == 255
    luma = pixels(Image.new("RGB", (1, 1), (100, 50, 200)), 1, 1, 1)
    assert abs(int(luma[0, 0, 0]) - (0.299 * 100 + 0.587 * 50 + 0.114 * 200)) <= 1
    with pytest.raises(ValueError, match="got grey values -1 to 1 in mode F"):
        pixels(Image.fromarray(np.array([[-1.0, 1.0]], np.float32)), 1, 1, 2)
    with pytest.raises(ValueError, match="got grey values nan to nan"):
        pixels(Image.fromarray(np.array([[np.nan, 1.0]], np.float32)), 1, 1, 2)


def test_orientation_is_that_of_the_camera():
    image = Image.fromarray(np.array([[10, 20, 30], [40, 50, 60]], np.uint8))
    image.getexif()[0x0112] = 6  # turn clockwise by a quarter
    assert np.array_equal(pixels(image, 1, 3, 2)[0], np.rot90([[10, 20, 30], [40, 50, 60]], k=-1))


def test_halving_the_size_averages():
    values = np.tile(np.array([[0, 100], [100, 200]], np.uint8), (4, 4))
    assert abs(pixels(Image.fromarray(values), 1, 4, 4)[0, 1:3, 1:3].astype(int) - 100).max() <= 1
