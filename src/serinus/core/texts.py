"""Text as a database can hold it."""


def escaped(text: str) -> str:
    r"""Write NUL and lone surrogates as ``\x00`` and ``\ud800``: PostgreSQL, or UTF-8, has no place for them."""
    if "\0" in text:
        text = text.replace("\0", r"\x00")
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
