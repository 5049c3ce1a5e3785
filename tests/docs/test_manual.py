"""The manual: it builds without a warning, has a page for every command, and says what the code and its files say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cytomesh.cli.settings import Stage

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [path for path in DOCS.rglob("*.md") if "start" not in path.parts]
sys.path.insert(0, str(DOCS / "_ext"))

from columns import TableFile, read_tables  # noqa: E402
from commands import commands  # noqa: E402
