"""The pauses between attempts."""

from workers.backoff import backoff


def test_the_pauses_grow_and_stay_within_their_limit() -> None:
    for attempts in range(1, 30):
        ceiling = min(300.0, 2.0 ** (attempts - 1))
        assert ceiling / 2 <= backoff(attempts) <= ceiling


def test_the_limits_can_be_given() -> None:
    for attempts in (1, 2, 3, 5_000):
        ceiling = min(30.0, 4.0 * 2.0 ** min(attempts - 1, 10))
        assert ceiling / 2 <= backoff(attempts, first=4, longest=30) <= ceiling
