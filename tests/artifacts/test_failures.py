"""What is read from the errors of obstore that no server here can be made to cause; the rest is in test_s3.py."""

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from serinus.artifacts.failures import of_s3

TOKEN = "FwoGZXIvYXdzEBY"


def answered(status: str, code: str, rest: str = "") -> str:
    """Write an error as obstore words a server's answer."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>No.</Message>{rest}</Error>'
    address = "https://s3.eu-west-1.amazonaws.com/bucket/sha256/aa/aabb"
    return f"Error performing GET {address} in 12.3ms - Server returned non-2xx status code: {status}: {body}"


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        (answered("301 Moved Permanently", "PermanentRedirect"), "another region", "SERINUS_S3_REGION"),
        (answered("400 Bad Request", "AuthorizationHeaderMalformed"), "another region", "SERINUS_S3_REGION"),
        (answered("400 Bad Request", "ExpiredToken"), "refuses the credentials", "AWS_"),
        (answered("403 Forbidden", "RequestTimeTooSkewed"), "another time", "clock"),
        (answered("503 Service Unavailable", "SlowDown"), "a problem of its own", "try again"),
        (answered("507 Insufficient Storage", "XMinioStorageFull"), "a problem of its own", "log"),
        (answered("418 I'm a teapot", "Teapot"), "what no S3 server should", "SERINUS_S3_ENDPOINT"),
        ("Error performing PUT http://169.254.169.254/latest/api/token in 3s - HTTP error", "no credentials", "role"),
        ("Error performing GET https://s3 - HTTP error\n error: InvalidCertificate(UnknownIssuer)", "TLS", "authority"),
        ("Error performing GET https://s3 - HTTP error\n ConnectError(\n dns error", "not known", "name service"),
        ("Error performing GET https://s3 - HTTP error\n kind: ConnectionReset", "(ConnectionReset)", "runs"),
    ],
)
def test_a_failure_is_told_by_its_code_or_its_words(text: str, what: str, remedy: str) -> None:
    cause = of_s3(GenericError(text), "https://s3.example.com")

    assert what in cause.what
    assert remedy in cause.remedy


def test_a_store_that_is_too_slow_does_not_answer() -> None:
    assert "https://s3.example.com does not answer" in of_s3(TimeoutError(), "https://s3.example.com").what


def test_what_the_server_repeats_of_a_request_is_not_passed_on() -> None:
    repeated = f"<CanonicalRequest>x-amz-security-token:{TOKEN}</CanonicalRequest>"

    cause = of_s3(PermissionDeniedError(answered("403 Forbidden", "SignatureDoesNotMatch", repeated)), "Amazon S3")

    assert TOKEN not in cause.what + cause.remedy
    assert "\n" not in cause.what
