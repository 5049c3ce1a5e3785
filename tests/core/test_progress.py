from cytomesh.core.progress import log, set_quiet, track


def test_items_pass_through_and_nothing_goes_to_standard_output(capsys):
    assert list(track(iter([1, 2, 3]), "linking")) == [1, 2, 3]
    log("one line")
    captured = capsys.readouterr()
    assert captured.out == ""


def test_quiet(capsys):
    set_quiet(True)
    try:
        log("not this")
    finally:
        set_quiet(False)
    assert capsys.readouterr().err == ""
