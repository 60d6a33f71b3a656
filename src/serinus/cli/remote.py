"""What `canary register --remote` registers: a model that another engine serves."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from serinus.cli.inputs import read_examples
from serinus.core.endpoint import parsed_tokens, token_for
from serinus.core.errors import InvalidInput
from serinus.core.signature import Signature

if TYPE_CHECKING:
    from serinus.core.records import Package

TOKENS = "SERINUS_REMOTE_TOKENS"


def remote_package_of(
    url: str | None, other: Path | None, signature: Signature | None, examples: Path | None
) -> "Package":
    """Ask the engine what its model takes, and give the model ready for registration; ``other`` may not be given."""
    if url is None:
        raise InvalidInput(
            "There is nothing to register.", field="FILE", remedy="Name the saved model, or --remote URL."
        )
    if other is not None:
        raise InvalidInput(
            f"Both {other} and a remote model are given.",
            field="--remote",
            remedy="A remote model is registered without a file and without training data.",
        )
    from serinus.client.remote import remote_package

    return remote_package(url, signature, () if examples is None else read_examples(examples), _token_of(url))


def _token_of(url: str) -> str:
    """Give what the engine is shown, from the variable by which the server is told of it, too."""
    try:
        return token_for(url, parsed_tokens(os.environ.get(TOKENS, "")))
    except ValueError as wrong:
        raise InvalidInput(
            f"{TOKENS} cannot be read: {wrong}.",
            field=TOKENS,
            remedy="Write triton:8000=TOKEN or https://ml.example.org=TOKEN, with commas in between.",
        ) from None
