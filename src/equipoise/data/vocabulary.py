"""Trains a tokenizer on the training texts, and turns texts into token ids."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from equipoise.core.signature import TextInput

SPECIAL = ("[PAD]", "[UNK]")
"""Tokens 0 and 1: padding, and what the tokenizer does not know."""

SHORT = 64
LONGEST = 256
"""Without a length in the plan: that of the longest training text while that is short, else the 95th percentile."""


def train_tokenizer(texts: Sequence[str], vocabulary: int, length: int | None) -> tuple[TextInput, str]:
    """Return the text input fitted on training texts, with a note on what was chosen.

    Texts are normalised (Unicode NFKC, lower case) and split at white space and punctuation. When the vocabulary has
    room for every word, each word is a token (explanations then point at words); otherwise words are divided by
    byte-pair encoding, where a token that begins a word starts with "▁". The same texts give the same tokenizer.

    Args:
        texts: The training texts.
        vocabulary: Largest number of tokens, the two special ones included.
        length: Tokens a text; without it, that of the longest training text when that has at most 64, else the 95th
            percentile, at most 256.

    Raises:
        ValueError: The texts hold no word.

    References:
        R. Sennrich, B. Haddow and A. Birch, Neural Machine Translation of Rare Words with Subword Units, ACL 2016.
    """
    num_words = len(_words(texts))
    if num_words == 0:
        raise ValueError(
            f"got {len(texts)} training texts without a single word; expected text. Choose another text column."
        )
    whole = num_words + len(SPECIAL) <= vocabulary
    tokenizer = _word_level(texts, vocabulary) if whole else _byte_pair(texts, vocabulary)
    lengths = np.array([len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))])
    usual = np.ceil(np.quantile(lengths, 0.95)) if lengths.max() > SHORT else lengths.max()
    kept = length or int(np.clip(usual, 4, LONGEST))
    spec = TextInput(length=kept, vocabulary=tokenizer.get_vocab_size(), tokenizer=tokenizer.to_str())
    how = f"all {num_words:,} training words are tokens" if whole else f"byte-pair encoding of {num_words:,} words"
    return spec, f"tokenizer: {how} ({spec.vocabulary:,} tokens, {kept} a text)"


def token_ids(spec: TextInput, texts: Sequence[str]) -> tuple[np.ndarray, int]:
    """Return token ids, int64 (n, length), padded with 0 or cut at the end, and how many texts were cut.

    A text without any token becomes one unknown token, so that no row is nothing but padding.
    """
    tokenizer = Tokenizer.from_str(spec.tokenizer)
    ids = np.zeros((len(texts), spec.length), dtype=np.int64)
    cut = 0
    for row, encoding in zip(ids, tokenizer.encode_batch(list(texts)), strict=True):
        found = encoding.ids or [1]
        cut += len(found) > spec.length
        row[: min(len(found), spec.length)] = found[: spec.length]
    return ids, cut


def unknown_share(ids: np.ndarray) -> float:
    """Return the share of tokens, padding aside, that are unknown."""
    return float((ids == 1).sum() / max(1, (ids != 0).sum()))


def _normalizer() -> normalizers.Normalizer:
    return normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])


def _words(texts: Sequence[str]) -> set[str]:
    normalizer, splitter = _normalizer(), pre_tokenizers.Whitespace()
    return {word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))}


def _word_level(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(vocab_size=vocabulary, special_tokens=list(SPECIAL), show_progress=False)
    return _trained(tokenizer, trainer, texts)


def _byte_pair(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Train byte pairs; word ends are not marked by a suffix, since that numbers the tokens in random order."""
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.Metaspace()
    alphabet = _alphabet(texts, max(1, vocabulary // 2))
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    return _trained(tokenizer, trainer, texts)


def _alphabet(texts: Sequence[str], limit: int) -> list[str]:
    """Return the most frequent characters, ties by code point, so that the choice does not depend on hashing."""
    normalizer = _normalizer()
    counts = Counter(character for text in texts for character in normalizer.normalize_str(text))
    for blank in [character for character in counts if character.isspace()]:
        del counts[blank]
    frequent = sorted(counts, key=lambda character: (-counts[character], character))
    return ["▁", *sorted(frequent[: limit - 1])]


def _trained(tokenizer: Tokenizer, trainer: trainers.Trainer, texts: Sequence[str]) -> Tokenizer:
    tokenizer.normalizer = _normalizer()
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
