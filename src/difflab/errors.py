"""The one exception a user is meant to read."""


class DifflabError(Exception):
    """A mistake the user can mend: its message names the value, the two parties and the way out.

    The command line prints it as one line without a traceback (`--debug` shows the traceback).
    """


class BusyError(DifflabError):
    """Another process is at work on the same run: look again later. The command ends with 75, as sysexits.h has it."""

    CODE = 75
