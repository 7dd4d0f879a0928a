"""Events to many watches: all of them, in order, in turns, and never without bound."""

from __future__ import annotations

import asyncio

from halab.cluster.apiserver import fanout
from halab.cluster.apiserver.fanout import Channel, Unread
from halab.cluster.store.cache import Entry, Event


def event(revision: int) -> Event:
    return Event("configmaps", revision, False, Entry("default", "a", revision, b"{}", None, None), None)


class Listener:
    def __init__(self) -> None:
        self.seen: list[int] = []
        self.dropped = False
        self.waiting = 0

    def deliver(self, one: Event) -> None:
        self.seen.append(one.revision)

    def drop(self) -> None:
        self.dropped = True

    def unread(self) -> int:
        return self.waiting


class Broken(Listener):
    def deliver(self, one: Event) -> None:
        raise RuntimeError("on purpose")


def joined(number: int) -> tuple[Channel, list[Listener]]:
    channel = Channel()
    listeners = [Listener() for _ in range(number)]
    channel.streams = dict.fromkeys(listeners)
    return channel, listeners


async def test_a_few_watches_are_told_at_once() -> None:
    channel, listeners = joined(fanout.AT_ONCE)
    channel.publish(event(1))
    assert all(one.seen == [1] for one in listeners)


async def test_very_many_are_told_in_turns_and_each_in_order() -> None:
    channel, listeners = joined(fanout.AT_ONCE * 5)
    for revision in (1, 2, 3):
        channel.publish(event(revision))
    assert not listeners[-1].seen, "the write does not wait for them"
    turns = 0
    while listeners[-1].seen != [1, 2, 3]:
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    assert all(one.seen == [1, 2, 3] for one in listeners)


async def test_who_joins_later_is_not_told_of_what_was_before() -> None:
    channel, _ = joined(fanout.AT_ONCE * 2)
    channel.publish(event(1))
    late = Listener()
    channel.streams[late] = None
    channel.publish(event(2))
    for _ in range(20):
        await asyncio.sleep(0)
    assert late.seen == [2]


async def test_writes_that_outrun_their_watches_are_made_to_wait() -> None:
    channel, listeners = joined(fanout.AT_ONCE * 2)
    for revision in range(fanout.MAX_PENDING + 3):
        channel.publish(event(revision))
    assert listeners[-1].seen == [0, 1, 2], "what is more than may wait was told on the spot"


async def test_a_watch_that_fails_is_dropped_and_hurts_nobody() -> None:
    channel, listeners = joined(1)
    broken = Broken()
    channel.streams = {broken: None, listeners[0]: None}
    channel.publish(event(1))
    assert broken.dropped and listeners[0].seen == [1]


def test_of_readers_that_are_behind_the_furthest_goes_first_when_all_together_are_too_many() -> None:
    unread = Unread(limit=100)
    slow, slower, slowest = Listener(), Listener(), Listener()
    for one, size in ((slow, 20), (slower, 30), (slowest, 60)):
        one.waiting = size
        unread.note(one, size)
    assert (slow.dropped, slower.dropped, slowest.dropped) == (False, False, True)
    assert unread.total == 50


def test_who_has_read_meanwhile_is_not_held_to_what_it_was_behind() -> None:
    unread = Unread(limit=100)
    slow, other = Listener(), Listener()
    slow.waiting = 90
    unread.note(slow, 90)
    slow.waiting = 0
    other.waiting = 40
    unread.note(other, 40)
    assert not slow.dropped and not other.dropped and unread.total == 40


def test_a_watch_that_ends_is_forgotten() -> None:
    unread = Unread(limit=100)
    gone = Listener()
    unread.note(gone, 90)
    unread.note(gone, 0)
    assert unread.total == 0
