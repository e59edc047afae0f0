"""How the benchmarks take time."""

from __future__ import annotations

import timeit
from collections.abc import Callable

from tqdm import tqdm


def best_of(rounds: int, **functions: Callable[[], object]) -> dict[str, float]:
    """Seconds of each function's fastest call; they take turns, so that a busy moment hits all of them.

    timeit keeps the garbage collector out of it.
    """
    found = {name: float("inf") for name in functions}
    for _ in tqdm(range(rounds), desc="measuring", delay=2, leave=False):
        for name, function in functions.items():
            found[name] = min(found[name], timeit.timeit(function, number=1))
    return found
