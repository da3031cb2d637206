"""Amounts as people read them."""


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 core", "2 cores"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def mebibytes(amount: int) -> str:
    """An amount of memory for people: "512 MiB", "1.5 GiB"."""
    return f"{amount} MiB" if amount < 1024 else f"{amount / 1024:.4g} GiB"
