"""A folder in memory for files that come and go by the thousand: a disk takes longer for them than a test."""

import os
import shutil
from pathlib import Path

FOLDER = Path("/dev/shm")


def place(room: int) -> Path | None:
    """The folder, if more than `room` bytes are free there, and programs may run from it; None: it is not."""
    if not FOLDER.exists() or os.statvfs(FOLDER).f_flag & os.ST_NOEXEC:
        return None
    return FOLDER if shutil.disk_usage(FOLDER).free > room else None
