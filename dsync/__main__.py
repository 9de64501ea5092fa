"""`python -m dsync` is the `dsync` command."""

from dsync.cli import end_as_main

end_as_main()
