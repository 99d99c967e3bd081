"""`python -m accelsim.cli` is `accelsim`."""

from accelsim.cli import main

main()
