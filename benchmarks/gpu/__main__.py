"""`python -m benchmarks.gpu`."""

from benchmarks.common import main
from benchmarks.gpu import suite

if __name__ == "__main__":
    main(suite.measure, suite.__doc__)
