"""``python -m relto``."""

from relto.cli import main

main()
