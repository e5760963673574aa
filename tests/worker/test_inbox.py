"""The inbox: no message is left behind by a sleeper."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable

from pykiq.worker.inbox import Inbox


def test_messages_come_out_in_order_once() -> None:
    inbox: Inbox[int] = Inbox()
    inbox.put(1)
    inbox.leave(2)
    inbox.put(3)
    assert inbox.take() == [1, 2, 3]
    assert inbox.take() == []


def test_a_sleeper_is_woken_by_a_message() -> None:
    inbox: Inbox[str] = Inbox()
    threading.Timer(0.05, inbox.put, ["hello"]).start()
    began = time.monotonic()
    inbox.sleep(10)
    assert time.monotonic() - began < 5
    assert inbox.take() == ["hello"]


def test_nobody_sleeps_on_a_full_inbox() -> None:
    inbox: Inbox[str] = Inbox()
    inbox.leave("there")
    began = time.monotonic()
    inbox.sleep(10)
    assert time.monotonic() - began < 5


def test_a_message_that_can_wait_does_not_wake() -> None:
    inbox: Inbox[str] = Inbox()
    threading.Timer(0.02, inbox.leave, ["quiet"]).start()
    began = time.monotonic()
    inbox.sleep(0.2)
    assert time.monotonic() - began >= 0.19
    assert inbox.take() == ["quiet"]


def receive_all(inbox: Inbox[int], before_sleep: Callable[[int], None]) -> None:
    """Four senders, and an owner who sleeps as often as it can: a lost wake-up would take ten seconds."""
    total = 4 * 2000

    def send() -> None:
        for number in range(2000):
            inbox.put(number)
            if number % 50 == 0:
                time.sleep(0.0005)

    senders = [threading.Thread(target=send) for _ in range(4)]
    began = time.monotonic()
    for sender in senders:
        sender.start()
    received = turns = 0
    while received < total:
        turns += 1
        before_sleep(turns)
        inbox.sleep(10)
        received += len(inbox.take())
    assert time.monotonic() - began < 9
    for sender in senders:
        sender.join()


def test_no_message_is_slept_through() -> None:
    receive_all(Inbox(), lambda turn: None)


def test_two_who_ring_at_once_do_no_harm() -> None:
    inbox: Inbox[int] = Inbox()
    inbox._asleep = True
    inbox.ring()
    inbox._asleep = True
    inbox.ring()
    inbox.sleep(0.01)
    assert inbox.take() == []


def test_a_message_that_comes_between_the_last_look_and_the_sleep_wakes() -> None:
    inbox: Inbox[str] = Inbox()

    class Looked(deque[str]):
        def __bool__(self) -> bool:
            seen = len(self) > 0
            if not seen:
                inbox.put("just now")
            return seen

    inbox._messages = Looked()
    began = time.monotonic()
    inbox.sleep(5)
    assert time.monotonic() - began < 2
    assert inbox.take() == ["just now"]


def test_a_sleeper_hears_what_it_watches_and_is_still_woken_by_messages() -> None:
    inbox: Inbox[str] = Inbox()
    ear, mouth = os.pipe()

    def hear() -> None:
        inbox.leave(os.read(ear, 10).decode())

    inbox.watch(ear, hear)
    threading.Timer(0.02, os.write, [mouth, b"heard"]).start()
    began = time.monotonic()
    inbox.sleep(10)
    assert inbox.take() == ["heard"]
    threading.Timer(0.02, inbox.put, ["told"]).start()
    inbox.sleep(10)
    assert inbox.take() == ["told"]
    inbox.unwatch(ear)
    os.write(mouth, b"unheard")
    inbox.sleep(0.01)
    assert time.monotonic() - began < 5
    assert inbox.take() == []
    os.close(ear)
    os.close(mouth)


def test_what_can_be_read_is_heard_without_any_sleep() -> None:
    inbox: Inbox[str] = Inbox()
    ear, mouth = os.pipe()
    inbox.watch(ear, lambda: inbox.leave(os.read(ear, 10).decode()))
    os.write(mouth, b"there")
    inbox.sleep(0)
    assert inbox.take() == ["there"]
    os.close(ear)
    os.close(mouth)


def test_a_connection_that_another_one_ends_is_not_heard_any_more() -> None:
    inbox: Inbox[str] = Inbox()
    first, second = os.pipe(), os.pipe()
    heard: list[int] = []

    def hear(descriptor: int, other: int) -> None:
        heard.append(descriptor)
        inbox.unwatch(other)

    inbox.watch(first[0], lambda: hear(first[0], second[0]))
    inbox.watch(second[0], lambda: hear(second[0], first[0]))
    for _, mouth in (first, second):
        os.write(mouth, b"there")
    inbox.sleep(1)
    assert len(heard) == 1
    for end in (*first, *second):
        os.close(end)


def test_no_message_is_slept_through_while_the_bed_changes() -> None:
    """The owner sleeps now on the lock and now on a connection."""
    inbox: Inbox[int] = Inbox()
    ear, mouth = os.pipe()

    def change(turn: int) -> None:
        if turn % 3 == 1:
            inbox.watch(ear, lambda: None)
        elif turn % 3 == 2:
            inbox.unwatch(ear)

    receive_all(inbox, change)
    os.close(ear)
    os.close(mouth)
