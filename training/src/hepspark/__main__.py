"""`python -m hepspark` is the `hepspark` command."""

from hepspark.cli import run

if __name__ == "__main__":
    run()
