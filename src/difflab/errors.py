"""The one exception a user is meant to read, and how it helps with a word."""

import difflib
from collections.abc import Iterable


class DifflabError(Exception):
    """A mistake the user can mend: its message names the value, the two parties and the way out.

    The command line prints it as one line without a traceback (`--debug` shows the traceback).
    """


class BusyError(DifflabError):
    """Another process is at work on the same run: look again later. The command ends with 75, as sysexits.h has it."""

    CODE = 75


def near(word: str, known: Iterable[str]) -> str:
    """', did you mean X?' or nothing, whatever the case of the letters."""
    as_known = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), as_known, n=1, cutoff=0.6)
    return f", did you mean '{as_known[close[0]]}'?" if close else ""
