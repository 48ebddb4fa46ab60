"""A process without file descriptors."""

import contextlib
import errno
import os
from collections.abc import Iterator
from resource import RLIMIT_NOFILE, getrlimit, setrlimit


@contextlib.contextmanager
def exhausted() -> Iterator[None]:
    """Nothing can be opened as long as this lasts."""
    soft, hard = getrlimit(RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        # So that there are few to take.
        taken.append(os.open(os.devnull, os.O_RDONLY))
        setrlimit(RLIMIT_NOFILE, (min(soft, taken[0] + 200), hard))
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
        yield
    finally:
        setrlimit(RLIMIT_NOFILE, (soft, hard))
        for number in taken:
            os.close(number)
