"""`python -m dsync` is the `dsync` command."""

from dsync.cli import main

main()
