import numpy as np
import pytest
import soundfile
import torch

from equipoise.core.data_plan import SoundData
from equipoise.core.signature import SoundInput
from equipoise.data.sound import decode_sound, load_sound
from equipoise.data.waveforms import fitted, read_waveform


def sine(frequency, rate, seconds, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def loudest(wave, rate):
    """Return the frequency with the most power, in Hz, by a plain Fourier transform."""
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return np.fft.rfftfreq(len(wave), 1 / rate)[power.argmax()]


def fill(folder, name, n, frequency, rate=8000, seconds=0.5, suffix="wav"):
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        soundfile.write(place / f"{i:03d}.{suffix}", sine(frequency + 3 * i, rate, seconds), rate)


@pytest.fixture
def two_classes(tmp_path):
    fill(tmp_path, "high", 10, 900)
    fill(tmp_path, "low", 10, 200)
    return tmp_path


def plan(folder, **changes):
    return SoundData(path=str(folder), **changes)


def test_waves_and_classes_are_those_of_the_files(two_classes):
    splits = load_sound(plan(two_classes), 0)
    assert splits.signature.inputs == SoundInput(sample_rate=8000, samples=4000)
    assert splits.signature.task.classes == ("high", "low")
    inputs, targets = splits.train.batch(torch.arange(len(splits.train)))
    for wave, target in zip(inputs.numpy(), targets, strict=True):
        assert (loudest(wave, 8000) > 500) == (int(target) == 0)
    assert splits.preprocessing.inputs.kind == "sound"


def test_streamed_equals_resident_bit_for_bit(two_classes):
    fill(two_classes, "low", 4, 300, rate=11025, seconds=0.7, suffix="flac")
    resident, streamed = load_sound(plan(two_classes), 0), load_sound(plan(two_classes, streamed=True), 0)
    for part in ("train", "validation", "test"):
        index = torch.arange(len(resident.part(part)))
        for left, right in zip(resident.part(part).batch(index), streamed.part(part).batch(index), strict=True):
            assert torch.equal(left, right)
    assert not streamed.test.resident


@pytest.mark.parametrize(("rate", "other"), [(44100, 16000), (8000, 16000), (22050, 8000), (48000, 11025)])
def test_a_resampled_sine_keeps_its_frequency_and_amplitude(rate, other):
    wave = fitted(sine(1000, rate, 1.0), rate, other, other)
    assert abs(loudest(wave, other) - 1000) <= 1
    middle = wave[other // 4 : 3 * other // 4]
    assert abs(np.sqrt(2 * np.mean(middle.astype(float) ** 2)) - 0.5) < 0.005


def test_what_the_lower_rate_cannot_hold_is_removed_and_not_folded():
    wave = fitted(sine(7000, 44100, 1.0), 44100, 8000, 8000)
    assert np.abs(wave[400:-400]).max() < 0.01


def test_the_beginning_is_the_same_however_much_is_read(tmp_path):
    long = sine(500, 44100, 3.0) + sine(1234, 44100, 3.0, 0.2)
    soundfile.write(tmp_path / "x.wav", long, 44100, subtype="FLOAT")
    short = read_waveform(tmp_path / "x.wav", 8000, 8000)
    whole = fitted(long.astype(np.float32), 44100, 8000, 24000)[:8000]
    assert np.abs(short - whole).max() < 1e-5


def test_stereo_is_averaged_and_lengths_are_fitted():
    stereo = np.stack([np.full(6, 0.5), np.full(6, -0.25)], axis=1)
    assert fitted(stereo, 8000, 8000, 8).tolist() == [0.125] * 6 + [0, 0]
    assert len(fitted(stereo, 8000, 8000, 4)) == 4


def test_a_mixed_folder_is_read_and_every_repair_is_said(two_classes):
    low, high = two_classes / "low", two_classes / "high"
    fill(two_classes, "low/phone", 2, 200, rate=16000, suffix="ogg")
    soundfile.write(low / "stereo.flac", np.stack([sine(200, 8000, 0.5)] * 2, axis=1), 8000)
    soundfile.write(low / "long.wav", sine(200, 8000, 2.0), 8000)
    soundfile.write(high / "short.wav", sine(900, 8000, 0.1), 8000)
    soundfile.write(high / "silent.wav", np.zeros(4000), 8000)
    soundfile.write(high / "empty.wav", np.zeros(0), 8000)
    soundfile.write(high / "nan.wav", np.full(4000, np.nan), 8000, subtype="FLOAT")
    soundfile.write(high / "loud.wav", sine(900, 8000, 0.5, 3.0), 8000, subtype="FLOAT")
    (high / "broken.wav").write_bytes(b"RIFFnothing")
    (high / "readme.md").write_text("hello")
    splits = load_sound(plan(two_classes), 0)
    notes = " ".join(splits.notes)
    for expected in (
        "Left out, since no recordings: 1 .md.",
        "3 of 30 files could not be read and were left out: high/broken.wav (",
        "high/empty.wav (ValueError: got no samples",
        "high/nan.wav (ValueError: got 4000 samples that are NaN or infinite",
        "2 of 28 recordings were resampled to 8000 Hz (26 of 8000 Hz, 2 of 16000 Hz)",
        "1 of 28 recordings had several channels",
        "1 of 28 recordings were longer and lost their end",
        "1 of 28 recordings were shorter and were padded with silence",
        "1 of 27 recordings are silent throughout; they were kept",
        "1 of 27 recordings reach full scale",
    ):
        assert expected in notes
    inputs = torch.cat([splits.part(name).inputs for name in ("train", "validation", "test")])
    assert inputs.shape == (27, 4000)
    assert inputs.abs().max() == 1.0


def test_rate_and_length_are_those_of_the_plan(two_classes):
    spec = load_sound(plan(two_classes, sample_rate=4000, seconds=0.25), 0).signature.inputs
    assert (spec.sample_rate, spec.samples) == (4000, 1000)


def write_csv(folder, rows, header="file,rate"):
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")


def recorded(folder, n=20):
    fill(folder, "clips", n, 200)
    return [f"clips/{i:03d}.wav,{1.5 + 0.1 * i:.2f}" for i in range(n)]


def test_a_table_of_targets_makes_regression_of_sound(tmp_path):
    rows = recorded(tmp_path)
    rows[5] = "clips/005.wav,"
    rows[6] = "clips/none.wav,2.0"
    write_csv(tmp_path, [*rows, rows[0]])
    splits = load_sound(plan(tmp_path, labels="labels.csv"), 0)
    assert (splits.signature.task.kind, splits.signature.task.targets) == ("regression", ("rate",))
    inputs, targets = splits.train.batch(torch.arange(len(splits.train)))
    assert targets.shape == (len(splits.train), 1)
    for wave, target in zip(inputs.numpy(), targets[:, 0], strict=True):
        assert abs(loudest(wave, 8000) - (200 + 3 * (float(target) - 1.5) / 0.1)) < 2.1
    notes = " ".join(splits.notes)
    assert "1 of 21 rows of labels.csv lack a file or a target" in notes
    assert "rows of labels.csv repeat a file and its target" in notes
    assert "1 of 19 files could not be read and were left out: clips/none.wav (ValueError: got no such file" in notes
    assert "Left out, since not listed in labels.csv: 005.wav, 006.wav (2 in all)." in notes
    assert splits.preprocessing.target_scale[0] > 0


def test_a_table_of_words_makes_classes(tmp_path):
    recorded(tmp_path)
    write_csv(tmp_path, [f"clips/{i:03d}.wav,{'yes' if i % 2 else 'no'},{i}" for i in range(20)], "file,word,number")
    splits = load_sound(plan(tmp_path, labels=str(tmp_path / "labels.csv"), target="word"), 0)
    assert (splits.signature.task.kind, splits.signature.task.classes) == ("binary", ("no", "yes"))


def no_folder(folder):
    return plan(folder / "nowhere")


def no_classes(folder):
    fill(folder, ".", 4, 300)
    return plan(folder)


def one_class(folder):
    fill(folder, "a", 9, 300)
    return plan(folder)


def empty_class(folder):
    fill(folder, "a", 9, 300)
    (folder / "b").mkdir()
    (folder / "b" / "x.txt").write_text("hello")
    return plan(folder)


def mostly_broken(folder):
    fill(folder, "a", 1, 300)
    (folder / "b").mkdir()
    for i in range(3):
        (folder / "b" / f"{i}.wav").write_bytes(b"nothing")
    return plan(folder)


def no_table(folder):
    recorded(folder)
    return plan(folder, labels="labels.csv")


def no_file_column(folder):
    write_csv(folder, recorded(folder), "path,rate")
    return plan(folder, labels="labels.csv")


def unknown_target(folder):
    write_csv(folder, recorded(folder))
    return plan(folder, labels="labels.csv", target="rates")


def which_target(folder):
    write_csv(folder, [f"{row},1" for row in recorded(folder)], "file,rate,other")
    return plan(folder, labels="labels.csv")


def clashing(folder):
    write_csv(folder, [*recorded(folder), "clips/000.wav,9"])
    return plan(folder, labels="labels.csv")


def nothing_filled_in(folder):
    recorded(folder)
    write_csv(folder, ["clips/000.wav,", ",3"])
    return plan(folder, labels="labels.csv")


def constant_target(folder):
    recorded(folder)
    write_csv(folder, [f"clips/{i:03d}.wav,1.5" for i in range(20)])
    return plan(folder, labels="labels.csv")


def folder_regression(folder):
    fill(folder, "a", 9, 300)
    return plan(folder, task="regression")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_folder, r"which is not there; expected a folder"),
        (no_classes, r"without sub-folders; expected one sub-folder a class"),
        (one_class, r"got one class only \(a\)"),
        (empty_class, r"got the class folder .*b without recordings \(1 other files\)"),
        (mostly_broken, r"got 3 unreadable files of 4 .*b/0.wav .*; expected at most half"),
        (no_table, r"labels.csv', which is not there"),
        (no_file_column, r"got the columns path, rate in .*labels.csv; expected one called 'file'"),
        (unknown_target, r"got the target 'rates', which is no column .* Did you mean 'rate'\?"),
        (which_target, r"got 2 columns beside 'file' in .*\(rate, other\); expected one.*Set `target`"),
        (clashing, r"got 1 files with several targets in .*: clips/000.wav; expected one target a file"),
        (nothing_filled_in, r"got no row with file and target in .*labels.csv; expected some"),
        (constant_target, r"got the constant target 'rate'"),
        (folder_regression, r"got task 'regression' for the folder .*give the targets in a table"),
    ],
)
def test_a_bad_folder_is_refused_with_a_cure(tmp_path, make, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_sound(make(tmp_path), 0)


SPEC = SoundInput(sample_rate=8000, samples=4000)


def test_predicting_reads_files_as_training_did(two_classes):
    splits = load_sound(plan(two_classes), 0)
    files = sorted((two_classes / "high").iterdir()) + sorted((two_classes / "low").iterdir())
    inputs, _ = splits.test.batch(torch.arange(len(splits.test)))
    assert torch.equal(decode_sound(splits.signature.inputs, [files[row] for row in splits.rows["test"]]), inputs)


def test_arrays_lists_and_pairs():
    wave = sine(440, 8000, 0.5).astype(np.float32)
    expected = torch.from_numpy(wave)[None]
    assert torch.equal(decode_sound(SPEC, wave), expected)
    assert torch.equal(decode_sound(SPEC, torch.from_numpy(wave)), expected)
    assert torch.equal(decode_sound(SPEC, np.stack([wave, wave])), expected.repeat(2, 1))
    assert torch.equal(decode_sound(SPEC, [wave, wave[:3000]])[1, 3000:], torch.zeros(1000))
    assert torch.allclose(decode_sound(SPEC, (wave * 32768).round().astype(np.int16)), expected, atol=1e-4)
    assert decode_sound(SPEC, wave.tolist()).shape == (1, 4000)
    stereo = np.stack([sine(440, 16000, 0.5)] * 2, axis=1)
    assert torch.allclose(decode_sound(SPEC, (stereo, 16000))[:, 100:-100], expected[:, 100:-100], atol=2e-3)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("nowhere.wav", r"got nowhere.wav, which is no file"),
        ([], r"got an empty list; expected at least one recording"),
        (np.full(10, 3.0), r"got amplitudes up to 3; expected at most 1"),
        (np.array([np.nan, 0.1]), r"got 1 samples that are NaN or infinite"),
        (np.zeros((4000, 2)), r"looks like \(time, channels\); expected \(time,\) or \(n, time\)"),
        (np.zeros(10, np.int64), r"got ndarray of shape \(10,\) and type int64; expected a path, or a waveform"),
        (np.zeros((2, 2, 2)), r"of shape \(2, 2, 2\)"),
        ((np.zeros(10), 0), r"got a sample rate of 0; expected at least 1"),
    ],
)
def test_bad_recordings_are_refused_with_a_cure(raw, message):
    with pytest.raises(ValueError, match=message):
        decode_sound(SPEC, raw)


def test_a_broken_file_to_predict_is_named(tmp_path):
    (tmp_path / "x.wav").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"from .*x.wav; expected a whole recording"):
        decode_sound(SPEC, tmp_path / "x.wav")
