"""The one exception of this package."""


class ConversionError(Exception):
    """Something about the input is wrong; the message is one line and names the thing, the expected and the found."""
