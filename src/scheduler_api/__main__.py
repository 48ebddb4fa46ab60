"""The command `scheduler-api`, which is `python -m scheduler_api` as well."""

import gc

# All that is loaded stays: to look for garbage meanwhile takes a fifth of the start.
gc.disable()

from scheduler_api.cli import main  # noqa: E402 - after that

gc.enable()

if __name__ == "__main__":
    main()
