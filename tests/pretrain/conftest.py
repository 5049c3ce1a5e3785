"""Helpers of these tests are modules beside them, here and in the processes of ranks."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
