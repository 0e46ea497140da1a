"""Short reviews that are written by rules, in English or Chinese: they need no download."""

from __future__ import annotations

from typing import Literal

import numpy as np

from kx.contracts.examples import Examples
from kx.data.sources.text.labelled import Texts, labelled
from kx.errors import DataError
from kx.types import Count

_WORDS = {
    "en": {
        "things": [
            "food", "soup", "service", "room", "music", "coffee", "film", "story", "book", "price",
            "hotel", "bread", "acting", "ending", "screen", "battery",
        ],
        "good": ["good", "great", "lovely", "excellent", "fine", "superb", "charming", "perfect"],
        "bad": ["bad", "poor", "awful", "terrible", "dull", "weak", "disappointing", "dreadful"],
    },
    "zh": {
        "things": [
            "味道", "菜", "服务", "房间", "音乐", "咖啡", "电影", "故事", "书", "价格", "酒店",
            "面包", "表演", "结局", "屏幕", "电池",
        ],
        "good": ["好", "棒", "不错", "满意", "精彩", "出色", "实惠", "完美"],
        "bad": ["差", "糟糕", "失望", "难受", "无聊", "粗糙", "离谱", "敷衍"],
    },
}  # fmt: skip
_PLAIN = {
    "en": ["the {thing} was {word}", "the {thing} is really {word}", "what a {word} {thing}"],
    "zh": ["{thing}很{word}", "{thing}真的{word}", "{thing}让人觉得{word}"],
}
_DENIED = {
    "en": ["the {thing} was not {word}", "the {thing} is never {word}"],
    "zh": ["{thing}一点也不{word}", "{thing}并没有让人觉得{word}"],
}
# The part that counts comes after "but", or before "although".
_JOINED = {"en": ["{other}, but {counts}", "{counts}, although {other}"],
           "zh": ["{other}，但是{counts}", "{counts}，虽然{other}"]}  # fmt: skip
_MOST = 100_000
_CLASSES = ("negative", "positive")


def reviews(language: Literal["en", "zh"] = "en", num_examples: Count = 2000) -> Examples:
    """Writes short reviews that are negative or positive, all different.

    Which words a review has does not decide its class: a word may be denied, and of two clauses
    one counts. Models that read the order of words are better than those that count words.

    Args:
        language: `"en"` or `"zh"`. Defaults to `"en"`.
        num_examples: Number of reviews, half of each class. Defaults to 2000.

    Returns:
        Examples that are strings; a tokenizer makes numbers of them.

    Raises:
        DataError: If there are more than 100,000.

    Example:
    >>> examples = reviews(num_examples=4)
    >>> len(examples.inputs), examples.target_spec.class_names
    (4, ('negative', 'positive'))
    """
    if num_examples > _MOST:
        raise DataError(
            f"data.num_examples: expected {_MOST:,} or less, since no review is written twice."
            f" Received: {num_examples:,}."
        )
    generator = np.random.default_rng(20)
    written: dict[str, str] = {}
    while len(written) < num_examples:
        label = _CLASSES[len(written) % 2]
        written.setdefault(_review(generator, language, good=label == "positive"), label)
    places = [f"review {number}" for number in range(num_examples)]
    found = Texts(list(written), {"label": list(written.values())}, places)
    return labelled(
        {"train": found}, label="label", name=f"reviews_{language}", source=f"{__name__}.reviews"
    )


def _review(generator: np.random.Generator, language: str, *, good: bool) -> str:
    counts = _clause(generator, language, good=good)
    if generator.random() < 0.4:
        return counts
    other = _clause(generator, language, good=bool(generator.random() < 0.3) is good)
    joined = str(generator.choice(_JOINED[language]))
    return joined.format(counts=counts, other=other)


def _clause(generator: np.random.Generator, language: str, *, good: bool) -> str:
    denied = bool(generator.random() < 0.3)
    words = _WORDS[language]["good" if good is not denied else "bad"]
    clause = str(generator.choice((_DENIED if denied else _PLAIN)[language]))
    return clause.format(
        thing=generator.choice(_WORDS[language]["things"]), word=generator.choice(words)
    )
