"""`python -m pisolve.nets`: the list of networks, as `pisolve networks` prints it."""

import sys

from pisolve.nets.catalogue import listed

if __name__ == "__main__":
    print(listed(*sys.argv[1:2]))
