"""`python -m mocoop` is the `mocoop` command."""

from mocoop.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
