"""Which products of a run are still what their inputs would give now, and a stop for stages that build on others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cytomesh.core.config import load_config
from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import CytomeshError, MissingStageError, StaleError
from cytomesh.core.progress import warn
from cytomesh.core.provenance import RECORD, Inputs, Record, damage, look_again, read_record, said
from cytomesh.core.reading import IMPORTED
from cytomesh.core.run import product_folders, read_study_path
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.manifests import graphs_without_entry
from cytomesh.graph.provenance import (
    IMAGES,
    SPHERE,
    TEMPLATE,
    graph_inputs,
    graph_parts,
    images_read,
    template_read,
)
from cytomesh.graph.spheres import sphere_read
from cytomesh.graph.storage import load_graph
from cytomesh.imaging.normalise import open_run_study
from cytomesh.study.sections import Section
from cytomesh.study.study import Study

NAMED = (*IMAGES, TEMPLATE)
"""Kinds of files that the study names."""
RUN_AGAIN = (
    "run the stages that wrote them again, in the order in which 'cytomesh status' lists them, each with the settings "
    "it had (--config: the config.yaml beside its result)"
)


@dataclass
class Freshness:
    """Looks at each product of a run once.

    Parameters
    ----------
    run : Path
    digests : FileDigests
    """

    run: Path
    digests: FileDigests
    _reasons: dict[str, list[str]] = field(default_factory=dict)
    _parts: dict[str, dict[str, str]] = field(default_factory=dict)

    def reasons(self, product: str) -> list[str]:
        """Say why a product ("graphs/B01_hemi-L") is stale, or what it is built on; nothing if it is not.

        Products without a record (imported, or of an earlier version) are taken as they are.
        """
        if product not in self._reasons:
            record = self.record(product)
            if record is not None:
                self._reasons[product] = self._look(product, record)
            else:
                path = record_path(self.run, product)
                reason = f"its record, {path.name}, cannot be read"
                self._reasons[product] = [reason] if os.path.lexists(path) else []
        return self._reasons[product]

    def record(self, product: str) -> Record | None:
        """Return the record of a product."""
        return read_record(record_path(self.run, product))

    def check(self, inputs: Inputs, *, allow_stale: bool) -> None:
        """Stop a stage that would build on stale products.

        Raises
        ------
        StaleError
            That names them and why; logged only with `allow_stale`.
        """
        self.digests.save()  # a stage may take days, and be killed
        found = self.stale(product for product, _, _ in inputs.products.values())
        if found and allow_stale:
            warn(f"continuing with stale inputs (--allow-stale): {found}")
        elif found:
            hint = f"{RUN_AGAIN}, or add --allow-stale"
            raise StaleError(self.run, found=found, expected="what their inputs give now", hint=hint)

    def stale(self, products: Iterable[str]) -> str:
        """Say which products are stale and why, in words; empty if none is."""
        stale = {product: reasons for product in dict.fromkeys(products) if (reasons := self.reasons(product))}
        lines = [f"{product} ({said(reasons)})" for product, reasons in stale.items()]
        return f"{len(stale)} stale: {said(lines)}" if stale else ""

    def _look(self, product: str, record: Record) -> list[str]:
        if product.startswith("graphs/"):
            is_imported = bool(record.inputs.of_kinds(IMPORTED).files)
            return self._look_at_import(product, record) if is_imported else self._look_at_graph(product, record)
        now = self._look_at_files(record.inputs)
        parts = {name: self._part(*entry) for name, entry in record.inputs.products.items()}
        now = Inputs(now.settings, now.values, now.files, parts)
        if record.stage in ("classify", "parcellate", "analyze"):
            now = now.merge(self._further_graphs(now)).merge(self._spheres(now))
        reasons = record.inputs.changed_data(now) + damage(self.run / product, record)
        for part, path in (("features", f"{product}.npy"), ("weights", f"{product}/model.safetensors")):
            if part in record.outputs and self.digests.digest(self.run / path) != record.outputs[part]:
                reasons.append(f"{path} is not as it was written")
        built_on = dict.fromkeys(upstream for upstream, _, _ in parts.values())
        return reasons + [f"built on {upstream}, which is stale" for upstream in built_on if self.reasons(upstream)]

    def _look_at_files(self, inputs: Inputs) -> Inputs:
        """Return the inputs with the files of now.

        Images and surfaces are those that the study names now, where it is here: its tables may have come to name
        others. All else is looked for where it was.
        """
        study = self._study
        if not isinstance(study, Study):
            return look_again(inputs, self.run, None, self.digests)
        now = look_again(inputs.without_kinds(*NAMED), self.run, study.path.parent, self.digests)
        wanted = [self._sections[name] for name in inputs.files if name in self._sections]
        now = now.merge(images_read(self.run, study, wanted, self.digests))
        if inputs.of_kinds(TEMPLATE).files:
            now = now.merge(template_read(self.run, study, self.digests))
        return now

    def _further_graphs(self, inputs: Inputs) -> Inputs:
        """Return the graphs that have come since: a stage that reads all would read them, too."""
        read = {product for product, _, _ in inputs.products.values()}
        here = [f for f in product_folders(self.run, "graphs") if (f / "qc.json").is_file()]
        new = [folder.name for folder in here if f"graphs/{folder.name}" not in read]
        return Inputs(values={f"graph: {name}": "" for name in new})

    def _spheres(self, inputs: Inputs) -> Inputs:
        """Return the spheres that would be taken now: a registration may have made some since."""
        names = [name.partition(": ")[2] for name in inputs.of_kinds(SPHERE).products]
        return Inputs(products={f"{SPHERE}: {name}": sphere_read(self.run, name, self.digests) for name in names})

    def _look_at_graph(self, product: str, record: Record) -> list[str]:
        study = self._study
        if study is None or isinstance(study, CytomeshError):
            return [f"the study cannot be opened: {study}"] if study else []
        name, _, hemisphere = product.removeprefix("graphs/").rpartition("_hemi-")
        try:
            settings = load_config(BuildGraphConfig, self.run / product / "config.yaml")
            brain = next((brain for brain in study.brains if brain.id == name), None)
            if brain is None or hemisphere not in brain.hemispheres:
                return [f"the study has no hemisphere {hemisphere} of {name}: remove {self.run / product}"]
            now = graph_inputs(self.run, study, brain, hemisphere, settings, self.digests)
        except CytomeshError as error:
            return [str(error)]
        return record.inputs.changed_data(now) + damage(self.run / product, record)

    def _look_at_import(self, product: str, record: Record) -> list[str]:
        now = look_again(record.inputs, self.run, None, self.digests)
        # an import is a copy: the files that it was made from need not be here any more
        files = {
            name: then if now.files[name][1] == "absent" else now.files[name]
            for name, then in record.inputs.files.items()
        }
        now = Inputs(now.settings, now.values, files, now.products)
        manifest = self._without_entry.get(product.removeprefix("graphs/"))
        gone = [f"{manifest.name} has it no more: remove {self.run / product}, or import it again"] if manifest else []
        return gone + record.inputs.changed_data(now) + damage(self.run / product, record)

    def _part(self, product: str, part: str, then: str) -> tuple[str, str, str]:
        """Return the digest that a part of a product has now."""
        kind = product.partition("/")[0]
        path = self.run / product
        if kind == "graphs":
            now = self._graph_parts(product).get(part, "absent")
        elif kind == "features":
            now = self.digests.digest(path.with_name(path.name + ".npy"))
        elif kind == "analyze":  # tables of nodes, by their place in the folder
            now = self.digests.digest(path / part)
        else:
            record = self.record(product)
            now = record.outputs.get(part, then) if record else then
        return product, part, now

    def _graph_parts(self, product: str) -> dict[str, str]:
        if product not in self._parts:
            try:
                self._parts[product] = graph_parts(self.run, load_graph(self.run / product), self.digests)
            except CytomeshError:
                self._parts[product] = {}
        return self._parts[product]

    @cached_property
    def _study(self) -> Study | CytomeshError | None:
        """The run's study; None where it is not here, as on a machine that has no images."""
        try:
            read_study_path(self.run)
        except MissingStageError as error:
            if (self.run / "study.json").is_file():
                warn(f"cannot tell whether the graphs are up to date: {error}")
            return None
        try:
            return open_run_study(self.run, self.digests)
        except CytomeshError as error:
            return error

    @cached_property
    def _without_entry(self) -> dict[str, Path]:
        return graphs_without_entry(self.run)

    @cached_property
    def _sections(self) -> dict[str, Section]:
        """Every section of the study by the name that its image has among inputs."""
        brains = self._study.brains if isinstance(self._study, Study) else ()
        return {f"{IMAGES[0]}: {section.name}": section for brain in brains for section in brain.sections}


def record_path(run: Path, product: str) -> Path:
    """Return where the record of a product is: in its folder, or beside a file."""
    path = run / product
    is_file = product.partition("/")[0] in ("features", "patches")
    return path.with_name(f"{path.name}.{RECORD}") if is_file else path / RECORD
