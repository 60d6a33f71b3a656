"""Why an artifact store failed and what to do about it, read from what obstore raised; nothing here does I/O.

An S3 server repeats parts of a refused request in its answer, so only its error code is ever passed on.
"""

import re
from dataclasses import dataclass

_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,64})</Code>")
_STATUS = re.compile(r"status code: (\d{3}[A-Za-z -]*)")
_KIND = re.compile(r"kind: ((?:Connection|Host|Network)[A-Za-z]+|TimedOut)\b")

_KEYS = "SERINUS_S3_ACCESS_KEY_ID and SERINUS_S3_SECRET_ACCESS_KEY"
_ENDPOINT = "SERINUS_S3_ENDPOINT (or else AWS_ENDPOINT_URL)"


@dataclass(frozen=True, slots=True)
class Cause:
    """What went wrong, to stand after a colon, and what to do."""

    what: str
    remedy: str


_NO_ANSWER = Cause(
    "{endpoint} does not answer",
    f"See that it runs and can be reached from this machine, and that {_ENDPOINT} is right.",
)
_OTHER_REGION = Cause("the bucket is in another region", "Set SERINUS_S3_REGION to the region of the bucket.")

_BY_CODE = {
    r"NoSuchBucket": Cause(
        "there is no such bucket on {endpoint}", "Make the bucket, or correct SERINUS_ARTIFACTS_URL."
    ),
    r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|TokenRefreshRequired|401 ": Cause(
        "{endpoint} refuses the credentials",
        f"Correct {_KEYS}; where they are empty, the AWS_* variables or the machine's role count.",
    ),
    r"RequestTimeTooSkewed|RequestExpired": Cause(
        "the clock of {endpoint} shows another time", "Set the clock of this machine."
    ),
    r"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint": _OTHER_REGION,
    r"AccessDenied|403 ": Cause(
        "{endpoint} does not allow it",
        f"Allow the user of {_KEYS} to s3:GetObject, s3:PutObject and, on the bucket, s3:ListBucket.",
    ),
    r" 5\d\d ": Cause("{endpoint} has a problem of its own", "See its log, and try again."),
}
"""By the error code and the HTTP status of an answer."""

_BY_TEXT = {
    r"https?://[^/]+/latest/(api/token|meta-data)": Cause(
        "there are no credentials for it", f"Set {_KEYS}, or the AWS_* variables, or give the machine a role."
    ),
    r"redirect without LOCATION": _OTHER_REGION,
    r"InvalidCertificate": Cause(
        "the TLS certificate of {endpoint} is not trusted",
        "Add its authority to those that this machine trusts, or correct SERINUS_S3_ENDPOINT.",
    ),
    r"InvalidContentType": Cause(
        "{endpoint} speaks no TLS", "Write SERINUS_S3_ENDPOINT with http://, or with the port that has TLS."
    ),
    r"dns error": Cause("the host of {endpoint} is not known", f"Correct {_ENDPOINT}, or the name service."),
    r"HTTP error": _NO_ANSWER,
}
"""By what obstore says where there is no answer."""


def of_s3(failure: Exception, endpoint: str) -> Cause:
    """Explain a failed S3 request.

    Args:
        failure: what obstore raised. endpoint: where the store is, for people.
    """
    text = str(failure)
    code, status, kind = (found[1].strip() if (found := by.search(text)) else "" for by in (_CODE, _STATUS, _KIND))
    known = _first(_BY_TEXT, text) or _first(_BY_CODE, f"{code} {status} ")
    if isinstance(failure, TimeoutError):
        known, kind = _NO_ANSWER, "too slow"
    if known is None:
        known = Cause("{endpoint} answers what no S3 server should", f"See that {_ENDPOINT} is one, and see its log.")
        kind = type(failure).__name__
    return Cause(f"{known.what.format(endpoint=endpoint)} ({code or status or kind or 'no connection'})", known.remedy)


def of_folder(failure: Exception) -> Cause:
    """Explain a failed read or write of a local file."""
    return Cause(
        str(failure).partition("\n")[0] or "it takes too long",
        "See that it is there, that Serinus may write to it, and that it has room.",
    )


def is_of_the_object_alone(failure: FileNotFoundError) -> bool:
    """Say whether an object is missing for sure, not its bucket, and not S3 itself at that address."""
    text = str(failure)
    return "<Code>NoSuchKey</Code>" in text or _STATUS.search(text) is None


def _first(causes: dict[str, Cause], text: str) -> Cause | None:
    return next((cause for pattern, cause in causes.items() if re.search(pattern, text)), None)
