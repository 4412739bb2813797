"""The engine's child on a slow machine, run in its place by tests.

`SLOW_CHILD` says what takes how many seconds: `imports`, before anything is said;
`disk`, a load that neither computes nor reads; `load`, one that computes.
"""

import os
import sys
import time

from inference.engine import child

_load = child.Child._load


def load_slowly(self, config):
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        if what == "disk":
            time.sleep(seconds)
        sum(range(10_000))
    return _load(self, config)


if __name__ == "__main__":
    what, length = os.environ["SLOW_CHILD"].split()
    seconds = float(length)
    if what == "imports":
        time.sleep(seconds)
    else:
        child.Child._load = load_slowly  # type: ignore[method-assign]
    sys.exit(child.main())
