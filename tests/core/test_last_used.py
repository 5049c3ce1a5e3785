import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cytomesh.core.last_used import LastUsed


def test_those_used_last_are_kept_up_to_a_size():
    made = []

    def get(key):
        return kept.get(key, lambda: made.append(key) or key * 3)

    kept = LastUsed(9, len)
    for key in "abcab":
        assert get(key) == key * 3
    assert made == ["a", "b", "c"]
    get("d")  # for which c goes
    get("a"), get("b"), get("d")
    assert made == ["a", "b", "c", "d"]
    get("c")  # for which a goes
    get("a")
    assert made == ["a", "b", "c", "d", "c", "a"]
    get("long")  # alone larger than all that may be kept
    assert made[-1] == "long" and get("long") == "long" * 3 and made.count("long") == 1
    get("a")
    assert made[-1] == "a"


def test_one_thread_makes_what_several_want():
    made, kept = [], LastUsed(2)

    def make(key):
        made.append(key)
        time.sleep(0.05)
        return object()

    with ThreadPoolExecutor(6) as threads:
        values = list(threads.map(lambda key: kept.get(key, lambda: make(key)), "aaabbb"))
    assert sorted(made) == ["a", "b"] and len(set(map(id, values))) == 2


def test_a_failure_is_seen_by_all_who_waited_and_is_not_kept():
    kept, begun, waiting = LastUsed(2), threading.Event(), threading.Event()

    def fail():
        begun.set()
        waiting.wait(5)
        raise ValueError("no")

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(kept.get, "a", fail)
        begun.wait(5)
        second = threads.submit(kept.get, "a", lambda: 1)
        time.sleep(0.05)
        waiting.set()
        for future in (first, second):
            with pytest.raises(ValueError, match="no"):
                future.result()
    assert kept.get("a", lambda: 2) == 2


def test_many_threads_keep_the_count_right():
    kept = LastUsed(50, lambda value: value)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda i: kept.get(i % 37, lambda: i % 7), range(3000)))
    sizes = [future.result() for future in kept._kept.values()]
    assert sum(sizes) == kept._total <= 50
