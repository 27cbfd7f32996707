"""The threads of beat's process go on, whatever happens in a turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workers.sweep import _sweep_for_ever, _watch_for_ever

pytestmark = pytest.mark.usefixtures("tables", "configure")


@pytest.mark.parametrize(
    ("for_ever", "turn"), [(_sweep_for_ever, "workers.sweep.sweep"), (_watch_for_ever, "workers.sweep.Watch.turn")]
)
def test_nothing_unforeseen_ends_a_thread(
    for_ever: Callable[[], None], turn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = iter([ValueError("unforeseen"), KeyboardInterrupt()])

    def fail(*_: object) -> None:
        raise next(ends)

    monkeypatch.setattr(turn, fail)
    with pytest.raises(KeyboardInterrupt):
        for_ever()
