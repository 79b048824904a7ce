"""`python -m pisolve`: the command line, for `torchrun -m pisolve train ...` as well."""

import sys

from pisolve.cli import main

if __name__ == "__main__":
    sys.exit(main())
