"""Runs commands as users type them."""

from click.testing import CliRunner, Result

from vapipe.cli import main


def vapipe_(*words: object) -> Result:
    """Run a command; the result has .exit_code, .stdout and .stderr."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
