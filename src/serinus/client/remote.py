"""Remote versions made ready for registration: asks an engine what its model takes and gives."""

from collections.abc import Sequence

import httpx2

from serinus.client.errors import UnreachableError
from serinus.core.endpoint import REMOTE_FORMAT, parsed
from serinus.core.endpoint_metadata import described
from serinus.core.errors import InvalidInput, NotFound
from serinus.core.records import Package
from serinus.core.signature import Signature, examples_as_rows

PATIENCE_S = 10.0
SHOWN = 200


def remote_package(
    url: str, signature: Signature | None = None, examples: Sequence[object] = (), token: str = ""
) -> Package:
    """Describe the model that an engine serves at ``http://HOST:PORT/v2/models/NAME[/versions/VERSION]``.

    Args:
        url: of the model, as this machine and the Serinus server both reach it.
        signature: what it takes and gives, where its metadata leaves that open: names of columns, classes.
        examples: rows of values in the signature's order, by which the server warms and checks it.
        token: what the engine is shown as a bearer token; the package does not hold it.

    Raises:
        InvalidInput: the URL is no model's, or its metadata cannot be used. NotFound: the engine has no such model.
        UnreachableError: the engine does not answer.
    """
    parsed(url)
    endpoint, known = described(url, _metadata(url.rstrip("/"), token), signature)
    return Package(endpoint.encoded(), REMOTE_FORMAT, known, examples_as_rows(known, examples))


def _metadata(url: str, token: str) -> object:
    shown = {"authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx2.get(url, headers=shown, timeout=PATIENCE_S, trust_env=False, follow_redirects=False)
    except httpx2.HTTPError as trouble:
        raise UnreachableError(
            f"The engine at {url} does not answer ({type(trouble).__name__}: {trouble}).",
            remedy="Start it, or register from a machine that reaches it.",
        ) from trouble
    if answer.status_code == httpx2.codes.NOT_FOUND:
        raise NotFound(f"The engine has no model at {url}: {answer.text[:SHOWN]}", field="url")
    try:
        answer.raise_for_status()
        return answer.json()
    except (httpx2.HTTPStatusError, ValueError) as wrong:
        raise InvalidInput(
            f"{url} answered HTTP {answer.status_code} and not with a model's metadata: {answer.text[:SHOWN]}",
            field="url",
            remedy="Give the address of a model of the Open Inference Protocol, version 2.",
        ) from wrong
