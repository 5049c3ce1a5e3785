"""`python -m cytomesh` and the `cytomesh` console script."""

from __future__ import annotations

from cytomesh.cli.app import main

if __name__ == "__main__":
    main()
