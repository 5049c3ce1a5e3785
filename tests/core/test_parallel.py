import os
import time

import pytest

from cytomesh.core.errors import ContourError
from cytomesh.core.parallel import available_cpus, map_ahead, map_ordered


def _late_square(n: int) -> tuple[int, int]:
    time.sleep(0.05 * (3 - n))  # later items finish first
    return n * n, os.getpid()


def _fail_on_two(n: int) -> int:
    if n == 2:
        raise ContourError("s2.geojson", found="nothing")
    return n


def test_order_is_kept_over_processes():
    results = list(map_ordered(_late_square, range(4), workers=2))
    assert [square for square, _ in results] == [0, 1, 4, 9]
    assert os.getpid() not in {pid for _, pid in results}


def test_one_worker_stays_in_this_process():
    assert {pid for _, pid in map_ordered(_late_square, range(2), workers=1)} == {os.getpid()}


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_come_back_whole(workers):
    with pytest.raises(ContourError, match=r"s2\.geojson: found nothing"):
        list(map_ordered(_fail_on_two, range(4), workers))


def test_threads_keep_order_and_pass_errors_on():
    def make(step):
        time.sleep(0.01 * (step % 3))
        if step == 7:
            raise ContourError("step 7")
        return step

    assert list(map_ahead(make, range(2, 7), 3)) == [2, 3, 4, 5, 6]
    with pytest.raises(ContourError, match="step 7"):
        list(map_ahead(make, range(5, 20), 3))


def test_threads_work_ahead_but_not_far():
    begun, taken = [], []
    stream = map_ahead(lambda step: begun.append(step) or step, iter(range(100)), 2)
    for step in stream:
        taken.append(step)
        time.sleep(0.01)
        assert len(taken) < len(begun) <= len(taken) + 4
        if step == 9:
            break
    stream.close()
    assert len(begun) <= 14


def test_available_cpus_are_those_the_process_may_use():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert available_cpus() == 1
    finally:
        os.sched_setaffinity(0, allowed)
