"""Kernels compile where there is no place for a cache, too."""

from cytomesh.surface.compiled import kernel


def test_kernel_without_a_place_for_its_cache():
    # numba finds no cache folder for code that has no file
    space: dict = {}
    exec(compile("def double(x):\n    return 2 * x\n", "<string>", "exec"), space)
    assert kernel(space["double"])(21) == 42
