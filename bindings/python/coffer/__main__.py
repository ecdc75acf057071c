"""`python -m coffer` is the command `coffer`."""

from coffer.cli import main

raise SystemExit(main())
