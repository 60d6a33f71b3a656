"""What is expected of a baseline, by what it did before."""

from serinus.core.evidence import Counts, bucket_of
from serinus.core.expected import Expected


def test_however_slowly_requests_come_the_latency_of_the_last_ones_is_known() -> None:
    expected = Expected()
    for number in range(300):
        one = Counts(1, latency={bucket_of(20.0 + number % 7): 1})
        expected = expected.after(one, 60.0)

    slow = expected.slow()

    assert slow is not None
    assert bucket_of(20.0) <= slow.bucket <= bucket_of(26.0)
    assert expected.requests > 150
