"""Which way a figure gets better."""

# By their names in every extractor's figures: whether a higher value is the better one.
HIGHER = {
    "fd": False, "fd_infinity": False, "kid": False, "cmmd": False,
    "inception_score": True, "precision": True, "recall": True, "density": True, "coverage": True,
}  # fmt: skip
RISING = tuple(name for name, higher in HIGHER.items() if higher)


def higher_is_better(name: str) -> bool:
    """Of a figure by its full name, such as precision_inception."""
    return name.startswith(RISING)
