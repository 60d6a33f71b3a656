"""What is said on stderr besides the data."""

import pytest

from serinus.cli.messages import warn


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            (
                "The canary gets no traffic: no checker has judged for 10 s, or this server does not hear of it. "
                "`canary check` starts one; `canary doctor` tells what is wrong."
            ),
            [
                "Warning: The canary gets no traffic:",
                "  no checker has judged for 10 s, or this server does not hear of it.",
                "  `canary check` starts one; `canary doctor` tells what is wrong.",
            ],
        ),
        (
            (
                "The record follows. Redis at redis://127.0.0.1:6379/0 does not answer within 1 s. "
                "See that it runs and can be reached from here."
            ),
            [
                "Warning: The record follows.",
                "  Redis at redis://127.0.0.1:6379/0 does not answer within 1 s.",
                "  See that it runs and can be reached from here.",
            ],
        ),
        ("age: the canary has it, the baseline not.", ["Warning: age: the canary has it, the baseline not."]),
        ("x" * 120, [f"Warning: {'x' * 120}"]),
    ],
    ids=["half a sentence", "sentences", "short", "nowhere to part it"],
)
def test_a_long_warning_says_first_what_it_is_about(
    capfd: pytest.CaptureFixture[str], text: str, lines: list[str]
) -> None:
    warn(text)

    assert capfd.readouterr().err.splitlines() == lines
