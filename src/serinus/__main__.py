"""`python -m serinus` is `canary`."""

from serinus.cli import main

main()
