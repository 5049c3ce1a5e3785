import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest

from cytomesh.core.errors import AtlasError, SurfaceError
from cytomesh.core.labels import LabelTable
from cytomesh.surface.cifti import write_cifti_labels

TABLE = LabelTable((3, 9), ("V1", "4p"), np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 0.5, 0.0, 1.0]]))
LEFT, RIGHT = np.array([0, 3, 3, 9, 0]), np.array([9, 9, 0, 3])


def test_labels_of_both_hemispheres_come_back(tmp_path):
    write_cifti_labels(tmp_path / "areas.dlabel.nii", {"R": RIGHT, "L": LEFT}, TABLE, "areas")
    image = nib.load(tmp_path / "areas.dlabel.nii")
    names, vertices = image.header.get_axis(0), image.header.get_axis(1)
    assert names.name.tolist() == ["areas"]
    assert names.label[0][0] == ("???", (0.0, 0.0, 0.0, 0.0))
    assert names.label[0][9][0] == "4p"
    found = {name: image.get_fdata()[0, part] for name, part, _ in vertices.iter_structures()}
    assert found["CIFTI_STRUCTURE_CORTEX_LEFT"].tolist() == LEFT.tolist()
    assert found["CIFTI_STRUCTURE_CORTEX_RIGHT"].tolist() == RIGHT.tolist()
    assert vertices.nvertices == {"CIFTI_STRUCTURE_CORTEX_LEFT": 5, "CIFTI_STRUCTURE_CORTEX_RIGHT": 4}


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(AtlasError, match="outside the label table"):
        write_cifti_labels(tmp_path / "a.dlabel.nii", {"L": np.array([1])}, TABLE, "areas")
    with pytest.raises(SurfaceError, match="'L', 'R' or both"):
        write_cifti_labels(tmp_path / "a.dlabel.nii", {"left": LEFT}, TABLE, "areas")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("wb_command") is None, reason="Connectome Workbench is not installed")
def test_workbench_opens_it(tmp_path):
    write_cifti_labels(tmp_path / "areas.dlabel.nii", {"L": LEFT, "R": RIGHT}, TABLE, "areas of a test")
    done = subprocess.run(
        ["wb_command", "-file-information", tmp_path / "areas.dlabel.nii"], capture_output=True, text=True, check=True
    )
    for fact in ("Label", "areas of a test", "CortexLeft", "CortexRight", "4p"):
        assert fact in done.stdout, done.stdout
