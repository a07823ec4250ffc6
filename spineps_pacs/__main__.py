"""`python -m spineps_pacs` is the command `spineps-pacs`."""

from spineps_pacs.cli.main import main

if __name__ == "__main__":
    main()
