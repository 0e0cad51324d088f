"""Who may move shared virtual time: what only a person can do needs none, and keeps nobody from going on."""

from __future__ import annotations

from sdl.clock.authority import TimeAuthority


class Actor:
    """Notes what it is told."""

    def __init__(self, time: TimeAuthority, name: str) -> None:
        self.granted: list[float] = []
        self.failed: list[str] = []
        assert time.join(name, self.granted.append, self.failed.append)


def test_time_stands_still_for_a_person_and_nobody_fails():
    time = TimeAuthority(0.0)
    lab, one, two = (Actor(time, n) for n in ("lab", "one", "two"))
    time.wait("lab", None, for_person=True)
    time.wait("one", None)
    time.wait("two", (5.0, (1, 0)))
    assert (two.granted, time.now) == ([5.0], 5.0)  # it does not keep another campaign from going on
    time.wait("two", None)
    assert time.now == 5.0
    assert lab.failed == one.failed == two.failed == []
    time.work("lab")  # the person did it
    time.wait("lab", (7.0, (1, 0)))
    assert lab.granted == [7.0]
    time.wait("lab", None)
    assert all(len(a.failed) == 1 and "stands still" in a.failed[0] for a in (lab, one, two))
