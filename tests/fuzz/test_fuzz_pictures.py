"""Pictures of any kind, harmed in any way: read as people see them, or left out with a reason."""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter

from fuzz.helpers import fuzz_count
from fuzz.pictures import any_picture, harmed, verdict
from kx.data.sources.images.folder.formats import pixel_limit

LONGEST_SECONDS = 20  # of a picture, on a busy machine


def trouble(seed: int, counts: Counter[str], seconds: list[float]) -> str:
    """What is wrong with kx's answer to the picture of a seed, or an empty string."""
    chance = random.Random(seed)
    encoded = harmed(chance, any_picture(chance))
    begun = time.perf_counter()
    try:
        with pixel_limit(2):
            checked, wrong = verdict(encoded)
    except Exception:
        return traceback.format_exc(limit=-3)
    seconds.append(time.perf_counter() - begun)
    if checked.problem:
        counts["left out"] += 1
    else:
        counts["converted" if checked.convert else "as it is"] += 1
    if seconds[-1] > LONGEST_SECONDS:
        return f"it took {seconds[-1]:.0f} seconds"
    return wrong and f"{checked}, and read otherwise in channels {wrong}"


def test_a_harmed_picture_is_read_as_people_see_it_or_left_out() -> None:
    counts: Counter[str] = Counter()
    seconds: list[float] = []
    found = {seed: trouble(seed, counts, seconds) for seed in range(fuzz_count())}
    print(f"\n{fuzz_count()} pictures: {dict(counts)}; the slowest took {max(seconds):.1f} seconds")
    wrong = [f"seed {seed}: {text}" for seed, text in found.items() if text]
    assert not wrong, "\n".join(wrong)
