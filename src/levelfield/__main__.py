"""`python -m levelfield` is the command `levelfield`."""

from levelfield.cli.app import main

if __name__ == "__main__":
    main()
