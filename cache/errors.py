"""Every error a user can cause or meet derives from `VapipeError`.

The message is complete: what is wrong, where, with which values, and what to do next.
`cli.py` prints it and exits; nothing below `cli.py` prints or exits.
"""


class VapipeError(Exception):
    """Base of all errors that vapipe raises on purpose; `str(error)` is the whole message."""


class CacheError(VapipeError):
    """The feature cache cannot be read or written as asked."""


class MediaError(VapipeError):
    """A media file cannot be used."""


class LabelError(VapipeError):
    """An annotation or split file cannot be used."""


class ConfigError(VapipeError):
    """Options that do not exist, do not fit together, or do not fit the data."""
