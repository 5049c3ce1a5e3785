"""What torch says of itself; a torch that is broken is in test_doctor, with what is made of it."""

from cytomesh.core.torch_facts import _fault_of_group


def test_a_group_of_one_rank_sums_or_says_why_not(gloo):
    assert _fault_of_group("gloo", "cpu") == ""
    assert _fault_of_group("nccl", "cpu") != ""
    assert _fault_of_group("gloo", "cpu") == ""
