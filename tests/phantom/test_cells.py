"""The cells that a phantom was drawn from."""

import numpy as np
import pytest

from cytomesh.core.config import load_config
from cytomesh.core.errors import MissingStageError
from cytomesh.core.tables import read_table
from cytomesh.phantom.cells import cells_path, write_phantom_cells
from cytomesh.phantom.config import PhantomConfig
from cytomesh.phantom.section import truth_path
from cytomesh.study.study import open_study
from tests.phantom.test_write import contents


def test_cells_lie_in_their_layers_in_the_numbers_of_the_profiles_and_change_nothing(small, cytomesh):
    before = contents(small)
    brain = open_study(small / "study.yaml").brains[0]
    summary = write_phantom_cells(small, brains=[brain.id], every=3, workers=1)
    after = contents(small)
    new = after.keys() - before.keys()
    assert len(new) == summary["sections"] > 0 and all(name.endswith("_cells.parquet") for name in new)
    assert {name: after[name] for name in before} == before
    section = next(s for s in brain.sections if cells_path(small, brain.id, f"{s.index:04d}").is_file())
    sample = f"{section.index:04d}"
    table = read_table(cells_path(small, brain.id, sample))
    truth = np.load(truth_path(small, brain.id, sample), allow_pickle=False)
    step = int(truth["step"])
    assert step == 1  # truth at full resolution here
    rows, columns = (np.floor(table[name] + 0.5).astype(int) for name in ("row_px", "column_px"))
    assert (truth["layer"][rows, columns] == table["layer"]).mean() > 0.999
    assert (truth["area"][rows, columns] == table["area"]).mean() > 0.999
    np.testing.assert_allclose(table["area_um2"], np.pi / 4 * table["diameter_um"] ** 2, rtol=1e-5)
    config = load_config(PhantomConfig, small / "truth" / "config.yaml").sections
    volume_mm3 = (1e-3 * config.um_per_px) ** 2 * 1e-3 * config.thickness_um
    density = [(table["layer"] == k).sum() / ((truth["layer"] == k).sum() * volume_mm3) for k in range(1, 7)]
    assert all(3e3 < value < 2.5e5 for value in density)
    assert density[0] < density[2] < density[3]  # few in I, most in IV
    assert float(table.metadata["um_per_px"]) == config.um_per_px
    write_phantom_cells(small, brains=[brain.id], every=3, workers=1)
    assert contents(small) == after  # the same cells again
    for name in new:
        (small / name).unlink()


def test_the_command_wants_a_phantom(tmp_path, cytomesh):
    with pytest.raises(MissingStageError, match="no phantom"):
        write_phantom_cells(tmp_path)
    code, _, err = cytomesh("phantom-cells", tmp_path)
    assert code == 1 and "cytomesh phantom --out" in err
