"""Sections of a brain that look alike: each is measured on its thumbnail, and compared with the median of them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.errors import ImageError
from cytomesh.core.files import digest
from cytomesh.core.parallel import available_cpus
from cytomesh.core.progress import warn
from cytomesh.core.run import read_study_path
from cytomesh.core.sections import SectionTask, map_sections
from cytomesh.imaging.thumbnail import tissue_thumbnail
from cytomesh.study.sections import Section
from cytomesh.study.stain import Normalisation, StainStatistics, median_statistics
from cytomesh.study.stain_checks import UNMEASURED, not_normalised
from cytomesh.study.study import Brain, Study, open_study

# Part of the name under which statistics are remembered: to be raised when they are measured another way.
VERSION = 3
SECTIONS_PER_WORKER = 100  # as for reading contours: starting a process takes as long
N_SAID = 5
Measured = dict[int, StainStatistics]
"""By the number of the section; without those in which glass and tissue cannot be told apart."""


def measure_sections(
    sections: Sequence[Section],
    digests: FileDigests,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    manifest: Path | None = None,
) -> Measured:
    """Measure glass and tissue of a brain's sections; what is remembered of an image is not read again.

    Images that cannot be read are left out: who needs their pixels will say so.

    Parameters
    ----------
    sections : sequence of Section
    digests : FileDigests
        Where statistics are remembered.
    workers, scheduler, manifest
        See `cytomesh.core.sections.map_sections`.
    """
    found: dict[int, dict[str, list[float]]] = {}
    tasks = []
    for section in sections:
        if section.image is not None:
            known = digests.recall(section.image, _fact(section))
            if known is None:
                tasks.append(SectionTask(section.name, section))
            else:
                found[section.index] = known
    done = map_sections(
        _measure,
        tasks,
        doing="measure stain",
        workers=min(workers, max(1, len(tasks) // SECTIONS_PER_WORKER)),
        scheduler=scheduler,
        seen=manifest,
    )
    for task, facts in done:
        image = task.item.image
        if facts is not None and image is not None:
            found[task.item.index] = digests.remember(image, _fact(task.item), partial(_known, facts))
    return {index: StainStatistics.from_facts(facts) for index, facts in found.items() if facts}


def normalised(study: Study, digests: FileDigests | None = None) -> Study:
    """Return a study whose sections are normalised as its manifest says, `image.normalise`.

    The reference is the median section of each brain. Sections that cannot be measured are left as they are, and named.

    Raises
    ------
    StudyError
        If no section of a brain can be measured, or grey and colour images are mixed.

    Examples
    --------
    >>> from cytomesh import open_section, open_study
    >>> study = normalised(open_study("study/study.yaml"))
    >>> section = study.brains[0].sections[0]
    >>> section.image_settings.normalise  # this study leaves its images as they are
    'none'
    >>> with open_section(section) as image:
    ...     image.shape
    (188, 134)
    """
    digests = digests or FileDigests()
    return replace(study, brains=tuple(_normalised(study, brain, digests) for brain in study.brains))


def open_run_study(run: Path, digests: FileDigests | None = None) -> Study:
    """Open the study of a run as stages see it: normalised; errors are those of `open_study` and `normalised`.

    Raises
    ------
    MissingStageError
        If the run has no study, or it has moved.

    Examples
    --------
    >>> from pathlib import Path
    >>> study = open_run_study(Path("run"))
    >>> study.brains[0].id
    'T01'
    """
    study = open_study(read_study_path(run))
    if digests is not None:
        return normalised(study, digests)
    with file_digests(run) as own:
        return normalised(study, own)


def _normalised(study: Study, brain: Brain, digests: FileDigests) -> Brain:
    wanted = [section for section in brain.sections if section.image and section.image_settings.normalise != "none"]
    if not wanted:
        return brain
    measured = measure_sections(wanted, digests, workers=available_cpus(), manifest=study.path)
    # damaged sections are normalised, but say nothing of the others
    sound = {section.index for section in wanted if section.status == "ok"} & measured.keys()
    statistics = [measured[index] for index in sorted(sound or measured)]
    if len({len(item.background) for item in statistics}) != 1:
        raise not_normalised(study.path, brain.id, "grey and colour images" if statistics else UNMEASURED)
    reference = median_statistics(statistics)
    unmeasured = [str(section.index) for section in wanted if section.index not in measured]
    if unmeasured:
        rest = f" and {len(unmeasured) - N_SAID} more" if len(unmeasured) > N_SAID else ""
        names = ", ".join(unmeasured[:N_SAID]) + rest
        warn(f"{brain.id}: glass and tissue cannot be told apart in sections {names}: they are not normalised")
    of_section = {
        section.index: Normalisation(
            section.image_settings.normalise, measured.get(section.index, reference), reference
        )
        for section in wanted
    }
    return replace(brain, sections=tuple(replace(s, normalisation=of_section.get(s.index)) for s in brain.sections))


def _measure(section: Section) -> dict[str, list[float]] | None:
    """Return the statistics of a section; nothing where there are none, None where the image cannot be read."""
    try:
        thumbnail = tissue_thumbnail(section)
    except ImageError:
        return None
    return {} if thumbnail is None or thumbnail.stain is None else thumbnail.stain.facts


def _known(facts: dict[str, list[float]], _: Path) -> dict[str, list[float]]:
    return facts


def _fact(section: Section) -> str:
    """Return the name under which the statistics of an image are remembered, as it is seen."""
    return f"stain {VERSION} {digest(section.image_settings.facts, *section.image_part.facts.items())}"
