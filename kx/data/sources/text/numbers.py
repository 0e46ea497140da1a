"""Numbers in English and Chinese words: pairs of texts that need no download."""

from __future__ import annotations

import numpy as np

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_DIGITS = "零一二三四五六七八九"
_PLACES = ("", "十", "百", "千")
_BELOW = 1_000_000


def number_pairs(num_pairs: int = 3000) -> tuple[list[str], list[str]]:
    """Returns different numbers below a million in English and in Chinese words.

    Args:
        num_pairs: Number of pairs. Defaults to 3000.

    Example:
    >>> english, chinese = number_pairs(2)
    >>> len(set(english)), len(set(chinese))
    (2, 2)
    """
    generator = np.random.default_rng(0)
    # As many of each number of digits as there are, up to a sixth of all.
    numbers: list[int] = []
    for digits in range(1, 7):
        low, high = (0 if digits == 1 else 10 ** (digits - 1)), 10**digits
        count = min(high - low, -(-(num_pairs - len(numbers)) // (7 - digits)))
        numbers += (low + generator.choice(high - low, count, replace=False)).tolist()
    chosen = generator.permutation(numbers)[:num_pairs]
    return [in_english(int(one)) for one in chosen], [in_chinese(int(one)) for one in chosen]


def in_english(number: int) -> str:
    """Returns a number below a million in English words.

    Args:
        number: Number, 0 or more.

    Example:
    >>> in_english(20305)
    'twenty thousand three hundred and five'
    """
    if number >= 1000:
        thousands, rest = divmod(number, 1000)
        between = " and " if 0 < rest < 100 else " "
        return f"{in_english(thousands)} thousand" + (
            f"{between}{in_english(rest)}" if rest else ""
        )
    if number >= 100:
        hundreds, rest = divmod(number, 100)
        return f"{_ONES[hundreds]} hundred" + (f" and {in_english(rest)}" if rest else "")
    if number >= 20:
        tens, rest = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[rest]}" if rest else "")
    return _ONES[number]


def in_chinese(number: int) -> str:
    """Returns a number below a million in Chinese words.

    Args:
        number: Number, 0 or more.

    Example:
    >>> in_chinese(20305), in_chinese(15)
    ('两万零三百零五', '十五')
    """
    if number >= 10_000:
        high, low = divmod(number, 10_000)
        text = "两万" if high == 2 else f"{in_chinese(high)}万"
        zero = "零" if 0 < low < 1000 else ""
        return text + (zero + _below_ten_thousand(low) if low else "")
    text = _below_ten_thousand(number)
    return text.removeprefix("一") if 10 <= number < 20 else text


def _below_ten_thousand(number: int) -> str:
    if number < 10:
        return _DIGITS[number]
    text, skipped = "", False
    for place in (3, 2, 1, 0):
        digit = number // 10**place % 10
        if digit == 0:
            skipped = bool(text)
            continue
        word = "两" if digit == 2 and place == 3 else _DIGITS[digit]
        text += ("零" if skipped else "") + word + _PLACES[place]
        skipped = False
    return text
