"""`python -m scheduler_api` is the command `scheduler-api`."""

from scheduler_api.cli import main

main()
