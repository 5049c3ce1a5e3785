"""SIGTERM: one process stops at once, ranks at the same step, a few steps later at most."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch

from cytomesh.core.distributed import World, world
from cytomesh.pretrain import stop
from cytomesh.pretrain.stop import Stop

AT_MOST = 7


def test_one_process_knows_at_once_and_dies_again_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    asked = Stop(World(0, 1, torch.device("cpu")), AT_MOST)
    with asked.listening():
        assert not asked.is_wanted()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.is_wanted()
    assert signal.getsignal(signal.SIGTERM) == before


def stop_on_rank(folder: Path, step_s: float, vote_s: float) -> None:
    """Take steps of some length; rank 1 is told to stop after the tenth."""
    stop.VOTE_S = vote_s
    with world("cpu", threads=1) as here:
        asked = Stop(here, AT_MOST)
        with asked.listening():
            for step in range(1, 100):
                time.sleep(step_s)
                if here.rank == 1 and step == 10:
                    os.kill(os.getpid(), signal.SIGTERM)
                if asked.is_wanted():
                    break
        (folder / str(here.rank)).write_text(str(step))


def test_ranks_stop_at_the_same_step(gloo, tmp_path):
    for name, step_s, vote_s, latest in (("fast", 0.0, 5.0, 10 + AT_MOST), ("slow", 0.02, 0.05, 13)):
        folder = tmp_path / name
        folder.mkdir()
        gloo(stop_on_rank, 2, folder, step_s, vote_s)
        one, other = (int((folder / str(rank)).read_text()) for rank in range(2))
        assert one == other
        assert 10 <= one <= latest
