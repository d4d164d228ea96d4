"""Everything Nightshift refuses to do, by name.

A message says what went wrong, whose it is, the rule, and the value seen; a remedy, where there is
one, is a command or a setting to change. Each class has the exit code the command line ends with.
"""

from __future__ import annotations

import re

_SECRETS = (
    # Greedy up to the last @: a password may hold any character but a blank.
    (re.compile(r"(?<=://)\S*@"), "***@"),
    (
        re.compile(
            r"(?i)\b([\w-]*(?:password|passwd|secret|token|signature|sig|(?:secret|access|account|api)[_-]?key)\s*=\s*)"
            r"[^\s&,;]+"
        ),
        r"\1***",
    ),
)


def masked(text: str) -> str:
    """``text`` without the users and passwords of URLs, and without the values of parameters named like secrets."""
    for secret, instead in _SECRETS:
        text = secret.sub(instead, text)
    return text


class NightshiftError(Exception):
    """Base of all named errors. Secrets that a path or URL brought into the message are masked.

    Parameters
    ----------
    message : str
        What, whose, the rule and the value seen.
    remedy : str, optional
        What to type or change to get past it.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        self.message = masked(message)
        super().__init__(self.message if remedy is None else f"{self.message}\n  remedy: {masked(remedy)}")
        self.remedy = remedy


class SettingsError(NightshiftError):
    """A setting is missing, contradicts another, or is out of its range."""

    exit_code = 2


class DateError(NightshiftError):
    """The date to plan cannot be told without guessing."""

    exit_code = 2


class CatalogError(NightshiftError):
    """The model catalog breaks its contract."""

    exit_code = 2


class ContractError(NightshiftError):
    """A file breaks its contract as a whole: unreadable, or a required column is absent or mistyped."""

    exit_code = 3


class MissingPartitionError(NightshiftError):
    """There is no partition for the date."""

    exit_code = 3


class ChangedInputError(NightshiftError):
    """An input file is not the one that was listed when the run opened."""

    exit_code = 3


class MissingPredictorError(NightshiftError):
    """No promoted predictor is trained through the date or earlier."""

    exit_code = 4


class ArtifactError(NightshiftError):
    """A predictor's artifact is absent, altered, or holds something that is not data."""

    exit_code = 4


class MissingAllocationError(NightshiftError):
    """No allocation serves the date."""

    exit_code = 4


class ProblemError(NightshiftError):
    """Arguments of a planning problem break a rule: shape, sign, finiteness, or emptiness."""

    exit_code = 5


class SolverError(NightshiftError):
    """A solver ended without a usable solution, or its solution does not survive verification."""

    exit_code = 5


class StaleAttemptError(NightshiftError):
    """A newer attempt owns the work; this one must stop without writing."""

    exit_code = 6


class RunStateError(NightshiftError):
    """A run cannot make the step asked of it from the status it is in."""

    exit_code = 6


class ChecksFailedError(NightshiftError):
    """A staged run broke at least one check, and stays unpublished."""

    exit_code = 6


class NotFoundError(NightshiftError):
    """The run, query or date asked for is not in the results database."""

    exit_code = 7


class SchemaError(NightshiftError):
    """The results database is not at the schema version this code needs."""

    exit_code = 8
