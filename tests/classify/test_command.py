import json

from typer.testing import CliRunner

from cytomesh.cli.classify import app


def test_command_prints_a_summary(section_run):
    arguments = ["--out", str(section_run), "--name", "command", "--set", "model={kind: lda}", "--json"]
    result = CliRunner().invoke(app, ["classify", *arguments])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["macro_f1_unseen"] > 0.3
    metrics = json.loads((section_run / "classify" / "command" / "metrics.json").read_text())
    assert metrics["model"] == "lda"
