"""``python -m halab.cli``: the command line where the console script is not installed."""

from halab.cli import main

if __name__ == "__main__":
    main()
