import numpy as np
import pytest
import torch

from cytomesh.graph.row_kernels import over_rows


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("n", [0, 1, 1024, 5000])
def test_every_row_once(two_threads, n):
    counts = np.zeros(n, np.int64)

    def kernel(start, stop, out):
        out[start:stop] += 1

    over_rows(kernel, n, counts)
    assert (counts == 1).all()


def test_an_error_in_a_thread_arrives(two_threads):
    def kernel(start, stop):
        raise ValueError(f"rows {start} to {stop}")

    with pytest.raises(ValueError, match="rows 0 to"):
        over_rows(kernel, 5000)
