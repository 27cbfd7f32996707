"""The two-tower program's own errors. Their messages are for the person at the terminal."""

from __future__ import annotations


class TrainerError(Exception):
    """The base class: an error of the program that its user can act on."""


class DataError(TrainerError):
    """The interactions can't be used: a column is missing, a value doesn't parse, or too few are left."""
