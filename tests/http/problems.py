"""What every refusal looks like."""

from typing import Any

import httpx2


def problem(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """Check that an answer is a problem document (RFC 9457) of this status, and give it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["code"].startswith("SERINUS-")
    assert document["type"] == "urn:serinus:error:" + document["code"].removeprefix("SERINUS-").lower()
    assert document["instance"] == answer.url.path
    assert document["title"]
    assert document["detail"]
    return document
