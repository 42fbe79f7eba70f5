"""Errors that the user can mend: a command prints them as one line, without a traceback."""


class MsnasError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(MsnasError):
    """A setting is unknown, missing, or contradicts another one."""


class DataError(MsnasError):
    """A data file is missing, unreadable, or does not hold what it must."""


class TrainingError(MsnasError):
    """A training that cannot go on."""


class StorageError(MsnasError):
    """A file that cannot be written."""


class BusyError(StorageError):
    """What is to be written is locked by another process."""


class NotStoredError(StorageError):
    """A training that a closed store does not hold."""


def one_line(error: BaseException) -> str:
    """An error's message in one line; with its class, unless msnas raised it on purpose."""
    text = " ".join(str(error).split())
    return text if isinstance(error, MsnasError) else f"{type(error).__name__}: {text}"
