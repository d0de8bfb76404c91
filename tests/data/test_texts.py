import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer

from equipoise.core.data_plan import GeneratedData, Split, TextData
from equipoise.data.decode import decode
from equipoise.data.load import load
from equipoise.data.vocabulary import token_ids, train_tokenizer


def opinions(n=60):
    return pd.DataFrame(
        {
            "number": np.arange(n),
            "opinion": [
                f"the {w} number {i} was {'good' if i % 2 else 'not good'} , they said"
                for i, w in zip(range(n), ["cake", "tea"] * n, strict=False)
            ],
            "class": ["up" if i % 2 else "down" for i in range(n)],
        }
    )


@pytest.fixture
def opinion_file(tmp_path):
    opinions().to_csv(tmp_path / "opinions.csv", index=False)
    return str(tmp_path / "opinions.csv")


def test_text_and_target_columns_are_found(opinion_file):
    splits = load(TextData(path=opinion_file), 0)
    assert splits.signature.task.classes == ("down", "up")
    notes = " | ".join(splits.notes)
    assert "text: column 'opinion'; target: column 'class'" in notes
    assert "columns left out of the text task: number" in notes
    assert splits.train.inputs.dtype == torch.int64


def test_tokens_lead_back_to_the_words(opinion_file):
    splits = load(TextData(path=opinion_file), 0)
    spec = splits.signature.inputs
    tokenizer = Tokenizer.from_str(spec.tokenizer)
    frame = opinions()
    for row, ids in zip(splits.rows["train"], splits.train.inputs.tolist(), strict=True):
        words = [tokenizer.id_to_token(i) for i in ids if i]
        assert words == frame["opinion"][row].lower().split()[: spec.length]


def test_the_tokenizer_knows_the_training_part_only(opinion_file):
    splits = load(TextData(path=opinion_file), 0)
    vocabulary = Tokenizer.from_str(splits.signature.inputs.tokenizer).get_vocab()
    numbers = {part: {str(row) for row in rows} for part, rows in splits.rows.items()}
    assert numbers["train"] <= set(vocabulary)
    assert not (numbers["test"] & set(vocabulary))
    assert (splits.test.inputs == 1).sum() == len(splits.test)
    assert any("of the tokens outside the training part are unknown" in note for note in splits.notes)


def test_decoding_gives_the_same_ids(opinion_file):
    splits = load(TextData(path=opinion_file), 0)
    texts = opinions()["opinion"][splits.rows["test"]]
    for raw in (texts, list(texts), texts.to_numpy(), texts.to_frame(), splits.test.inputs, splits.test.inputs.numpy()):
        assert torch.equal(decode(splits.signature, raw), splits.test.inputs)
    one = decode(splits.signature, "THE tea was good")
    assert one.shape == (1, splits.signature.inputs.length)
    assert (decode(splits.signature, [""])[0, :2] == torch.tensor([1, 0])).all()


def test_byte_pairs_when_the_vocabulary_is_too_small_for_the_words():
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghij"))
    texts = [" ".join("".join(generator.choice(letters, 6)) for _ in range(12)) for _ in range(80)]
    spec, note = train_tokenizer(texts, 200, None)
    assert {train_tokenizer(texts, 200, None)[0].tokenizer for _ in range(8)} == {spec.tokenizer}
    assert len({train_tokenizer(texts, 4000, None)[0].tokenizer for _ in range(8)}) == 1
    rare = [*texts, "".join(map(chr, range(0x4E00, 0x4F00)))]
    assert len({train_tokenizer(rare, 100, None)[0].tokenizer for _ in range(8)}) == 1
    assert train_tokenizer(rare, 100, None)[0].vocabulary == 100
    assert spec.vocabulary <= 200
    assert "byte-pair encoding" in note
    tokenizer = Tokenizer.from_str(spec.tokenizer)
    assert (tokenizer.token_to_id("[PAD]"), tokenizer.token_to_id("[UNK]")) == (0, 1)
    ids, _ = token_ids(spec, texts)
    assert (ids != 1).all()
    assert tokenizer.decode([int(i) for i in ids[0] if i]) == texts[0]
    # Each character is at most one token, and merging pairs leaves far fewer than characters.
    assert (ids[0] != 0).sum() < 0.7 * len(texts[0].replace(" ", ""))


def test_long_texts_are_cut_and_counted(tmp_path):
    frame = pd.DataFrame({"text": ["so good"] * 98 + ["very " * 500] * 2, "label": ["a", "b"] * 50})
    frame.to_csv(tmp_path / "t.csv", index=False)
    splits = load(TextData(path=str(tmp_path / "t.csv"), length=10), 0)
    assert splits.signature.inputs.length == 10
    assert "2 of 100 texts are longer than 10 tokens and were cut" in splits.notes


def test_empty_texts_and_missing_targets_are_dropped_and_counted(tmp_path):
    frame = pd.DataFrame(
        {"text": ["fine day", " ", None, "grey day", "wet day"] * 10, "label": ["a", "b", "a", None, "b"] * 10}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    splits = load(TextData(path=str(tmp_path / "t.parquet")), 0)
    assert "20 of 50 rows were dropped: their text is empty" in splits.notes
    assert "10 of 50 rows were dropped: their target is missing" in splits.notes
    assert sorted(np.concatenate(list(splits.rows.values())) % 5) == [0] * 10 + [4] * 10


def test_a_folder_with_one_sub_folder_a_class(tmp_path):
    for name, word in (("ham", "hello"), ("spam", "buy")):
        (tmp_path / "mail" / name).mkdir(parents=True)
        for i in range(12):
            (tmp_path / "mail" / name / f"{i}.txt").write_text(f"{word} friend {i}", encoding="utf-8")
    (tmp_path / "mail" / "spam" / "broken.txt").write_bytes(b"caf\xe9")
    (tmp_path / "mail" / "readme.md").write_text("about")
    splits = load(TextData(path=str(tmp_path / "mail")), 0)
    assert splits.signature.task.classes == ("ham", "spam")
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 24
    assert "1 files were left out, since they are not UTF-8: spam/broken.txt" in splits.notes
    assert "1 files beside the class folders were left out" in splits.notes


def test_texts_serve_regression_and_are_split_by_group(tmp_path):
    frame = opinions().assign(author=np.arange(60) % 12, score=np.arange(60) / 7)
    frame.to_csv(tmp_path / "t.csv", index=False)
    split = Split(method="group", column="author")
    splits = load(TextData(path=str(tmp_path / "t.csv"), text="opinion", target="score", split=split), 0)
    assert splits.signature.task.kind == "regression"
    assert set(splits.groups["train"]).isdisjoint(splits.groups["test"])


def test_reviews_have_their_sentiment_in_the_order_of_words():
    splits = load(GeneratedData(name="reviews"), 0)
    assert splits.signature.task.classes == ("negative", "positive")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (390, 90, 120)
    everything = torch.cat([splits.train.inputs, splits.validation.inputs, splits.test.inputs])
    assert len(everything.unique(dim=0)) == 600


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros((2, 3)), "got ndarray of shape .2, 3. .* expected texts, or token ids"),
        ([1, 2], "got list .* expected texts"),
        (np.full((1, 12), 10**6), "got token ids from 1000000 .* expected 0 to"),
    ],
)
def test_what_is_no_text_is_refused(opinion_file, raw, message):
    splits = load(TextData(path=opinion_file, length=12), 0)
    with pytest.raises(ValueError, match=message):
        decode(splits.signature, raw)
