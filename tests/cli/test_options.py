"""Tables on the terminal."""

from cytomesh.cli.options import show_table


def test_numbers_of_several_kinds_keep_their_digits(capsys):
    """One measure a row (encoders side by side), or one a column (what a method was scored by)."""
    by_row = {
        "macro-F1": {"cnn": 0.7634, "vit": None},
        "boundary (um)": {"cnn": 110.96, "vit": 95.2},
        "probe": {"cnn": 0.5},
    }
    show_table({"nodes": 7} | by_row, as_json=False)
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    shown = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert shown == [
        ["nodes", "7"],
        ["cnn", "vit"],
        ["macro-F1", "0.763", "-"],
        ["boundary (um)", "111", "95.200"],
        ["probe", "0.500", "-"],
    ]
    show_table({"a": {"f1": 0.7, "um": 12345.6, "none": None}, "b": {"f1": 0.8, "um": 99.7}}, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:] for line in lines[1:]] == [["0.700", "12,346", "-"], ["0.800", "100", "-"]]
