"""`python -m serinus` is `canary`."""

import sys

from serinus.cli import main

sys.exit(main())
