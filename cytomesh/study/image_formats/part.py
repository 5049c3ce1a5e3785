"""Which image of a file that holds several is meant: a scene by its number, a plane of a stack by its axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cytomesh.core.errors import ImageError

PLANE_AXES = ("z", "t")


@dataclass(frozen=True, slots=True)
class ImagePart:
    """One image of a file; numbers count from 0, None: the only one.

    Parameters
    ----------
    scene : int or None
        Scene of a CZI, slice of a NIfTI volume.
    z, t : int or None
        Plane of a stack; passed over by images that have no such axis, as the copy of one plane.
    """

    scene: int | None = None
    z: int | None = None
    t: int | None = None

    @property
    def facts(self) -> dict[str, int]:
        """What is set."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def refuse_scene(self, path: Path) -> None:
        """Raise ImageError if a scene is asked for of a file that has one image."""
        if self.scene is not None:
            expected = "none: this format has one image a file"
            hint = "leave the column scene, or --scene, empty for it"
            raise ImageError(path, found=f"scene {self.scene} asked for", expected=expected, hint=hint)

    def planes(self, path: Path, sizes: Mapping[str, int]) -> dict[str, int]:
        """Return the number of the plane along each axis that has one.

        Parameters
        ----------
        path : Path
            The image.
        sizes : mapping of str to int
            Number of planes by the axis' letter, lower case.

        Raises
        ------
        ImageError
            If an axis has several and none is named, or one that it has not.
        """
        named = {axis: getattr(self, axis, None) if n > 1 else 0 for axis, n in sizes.items()}
        found = ", ".join(f"{n} of {axis}" for axis, n in sizes.items() if n > 1)
        lacking = {axis: sizes[axis] for axis, index in named.items() if index is None}
        if lacking:
            ways = ", ".join(f"{axis}: 0" for axis in lacking if axis in PLANE_AXES)
            known = ", ".join(f"{axis} 0 to {n - 1}" for axis, n in lacking.items())
            options = " ".join(f"--{axis} 0" for axis in lacking)
            hint = f"name it: {options}, or in a study's manifest image: {{plane: {{{ways}}}}} ({known}); or export one"
            if set(lacking) - set(PLANE_AXES):
                hint = "export one 2D plane, with all its channels"
            raise ImageError(path, found=f"planes: {found}", expected="one plane", hint=hint)
        chosen = {axis: index for axis, index in named.items() if index is not None}
        for axis, index in chosen.items():
            if index >= sizes[axis]:
                known = f"{axis} from 0 to {sizes[axis] - 1}"
                raise ImageError(
                    path, found=f"no plane {axis} = {index}", expected=known, hint=f"correct --{axis}, or image.plane"
                )
        return chosen


THE_ONLY = ImagePart()
