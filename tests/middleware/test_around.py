"""What middleware can do to a push and to an execution; one set of rules for threads and for the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from pykiq.errors import Interrupted, PayloadError
from pykiq.middleware.around import arun_server, run_client, run_server
from pykiq.middleware.chain import Chain, Job
from pykiq.middleware.onloop import away_from_the_loop

Run = Callable[[Chain[Any], Any, Callable[[], Any]], Any]
tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


class Boom(Exception):
    pass


# Pushing


def passing(name: str, log: list[str]) -> Any:
    def middleware(job: Job, call_next: Any) -> Any:
        log.append(f"{name} before")
        returned = call_next(job)
        log.append(f"{name} after")
        return returned

    return middleware


def awaiting(name: str, log: list[str]) -> Any:
    async def middleware(job: Job, call_next: Any) -> Any:
        await asyncio.sleep(0)
        log.append(f"{name} before")
        returned = await call_next(job)
        log.append(f"{name} after")
        return returned

    return middleware


def test_without_client_middleware_the_job_is_the_payload_itself() -> None:
    job = {"class": "A"}
    assert run_client(Chain(), job) is job


def test_client_middleware_runs_from_the_outermost_in_and_back_out() -> None:
    log: list[str] = []
    run_client(Chain(passing("outer", log), passing("inner", log)), {})
    assert log == ["outer before", "inner before", "inner after", "outer after"]


@pytest.mark.parametrize("kinds", [(awaiting, passing, awaiting), (passing, awaiting, awaiting)])
def test_asynchronous_client_middleware_stands_in_one_chain_with_plain_one(kinds: tuple[Any, ...]) -> None:
    log: list[str] = []
    chain: Chain[Any] = Chain(*(kind(name, log) for kind, name in zip(kinds, "abc", strict=True)))
    assert run_client(chain, {"class": "A"}) == {"class": "A"}
    assert log == ["a before", "b before", "c before", "c after", "b after", "a after"]


async def test_asynchronous_client_middleware_runs_also_where_a_loop_runs_already() -> None:
    log: list[str] = []
    assert run_client(Chain(awaiting("a", log)), {"class": "A"}) == {"class": "A"}
    assert log == ["a before", "a after"]


async def test_away_from_the_loop_it_runs_on_the_loop_that_waits() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def outer(job: Job, call_next: Any) -> Any:
        loops.append(asyncio.get_running_loop())
        job["tenant"] = tenant.get()
        return await call_next(job)

    def plain(job: Job, call_next: Any) -> Any:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return call_next(job)

    tenant.set("acme")
    chain: Chain[Any] = Chain(outer, plain, awaiting("inner", []), outer)
    async with asyncio.timeout(20):
        made = await asyncio.gather(*(away_from_the_loop(lambda: run_client(chain, {})) for _ in range(100)))
    assert made == [{"tenant": "acme"}] * 100
    assert set(loops) == {asyncio.get_running_loop()}


@pytest.mark.parametrize("inside", [False, True])
def test_an_error_of_asynchronous_client_middleware_reaches_whoever_pushes(inside: bool) -> None:
    async def outer(job: Job, call_next: Any) -> Any:
        if not inside:
            raise Boom
        return await call_next(job)

    def raises(job: Job, call_next: Any) -> Any:
        raise Boom

    with pytest.raises(Boom):
        run_client(Chain(outer, raises), {})


def test_asynchronous_client_middleware_stops_a_push_too() -> None:
    async def stops(job: Job, call_next: Any) -> None:
        await asyncio.sleep(0)

    log: list[str] = []
    chain: Chain[Any] = Chain(stops, passing("inner", log))
    assert run_client(chain, {}) is None
    assert log == []


@pytest.mark.parametrize("falsy", [None, False, {}])
def test_a_push_stops_when_the_chain_returns_nothing(falsy: Any) -> None:
    log: list[str] = []
    chain: Chain[Any] = Chain(lambda job, call_next: falsy, passing("inner", log))
    assert run_client(chain, {"class": "A"}) is None
    assert log == []


def test_what_the_outermost_middleware_returns_is_the_payload() -> None:
    chain: Chain[Any] = Chain(lambda job, call_next: {**call_next(job), "outer": True})
    assert run_client(chain, {"class": "A"}) == {"class": "A", "outer": True}


def test_a_job_that_is_handed_on_replaces_the_one_before() -> None:
    chain: Chain[Any] = Chain(
        lambda job, call_next: call_next({"class": "B"}), lambda job, call_next: {**job, "seen": job["class"]}
    )
    assert run_client(chain, {"class": "A"}) == {"class": "B", "seen": "B"}


def test_client_middleware_that_returns_something_else_is_named() -> None:
    def sloppy(job: Job, call_next: Any) -> Any:
        return True

    with pytest.raises(PayloadError, match="sloppy` returned a bool; expected the job"):
        run_client(Chain(sloppy), {})


# Executing, in the four ways a chain and a handler can meet


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in another thread, as the worker's does."""
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join()
    running.run_until_complete(running.shutdown_asyncgens())
    running.close()


def awaited(call: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    async def acall() -> Any:
        await asyncio.sleep(0)
        return call()

    return acall


@pytest.fixture(params=["thread", "thread with a loop", "event loop"])
def run(request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> Run:
    """Runs a call inside a chain, on a thread or on an event loop."""
    if request.param == "thread":
        return lambda chain, job, call: run_server(chain, job, call)
    if request.param == "thread with a loop":
        return lambda chain, job, call: run_server(chain, job, call, loop=loop)
    return lambda chain, job, call: asyncio.run(arun_server(chain, job, awaited(call)))


@pytest.fixture(params=["generator", "async generator"])
def written(request: pytest.FixtureRequest) -> Callable[[Callable[[Any], Any]], Any]:
    """Turns a generator function into the other kind, so that each rule is tested for both."""
    return (lambda function: function) if request.param == "generator" else as_async


def as_async(function: Callable[[Any], Any]) -> Any:
    async def middleware(job: Any) -> Any:
        steps = function(job)
        try:
            next(steps)
        except StopIteration:
            return
        while True:
            try:
                await asyncio.sleep(0)
                received = yield
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:
                try:
                    steps.throw(error)
                except StopIteration:
                    return
            else:
                try:
                    steps.send(received)
                except StopIteration:
                    return

    return middleware


Written = Callable[[Callable[[Any], Any]], Any]


def test_an_empty_chain_only_calls(run: Run) -> None:
    assert run(Chain(), None, lambda: 7) == 7


def test_the_first_one_added_surrounds_the_others(run: Run, written: Written) -> None:
    log: list[Any] = []

    def named(name: str) -> Any:
        def middleware(job: Any) -> Any:
            log.append((name, job))
            log.append((name, (yield)))

        return written(middleware)

    assert run(Chain(named("outer"), named("inner")), "job", lambda: "result") == "result"
    assert log == [("outer", "job"), ("inner", "job"), ("inner", "result"), ("outer", "result")]


def test_returning_without_a_yield_skips_the_handler_and_leaves_the_outer_ones_normally(
    run: Run, written: Written
) -> None:
    log: list[str] = []

    def outer(job: Any) -> Any:
        yield
        log.append("outer left")

    def skipping(job: Any) -> Any:
        return
        yield

    assert run(Chain(written(outer), written(skipping)), None, lambda: log.append("handler ran")) is None
    assert log == ["outer left"]


def test_the_handlers_error_appears_at_the_yield_and_goes_on(run: Run, written: Written) -> None:
    log: list[Any] = []

    def watching() -> Any:
        def middleware(job: Any) -> Any:
            try:
                yield
            except Boom as error:
                log.append(error)
                raise

        return written(middleware)

    boom = Boom()

    def fail() -> None:
        raise boom

    with pytest.raises(Boom) as caught:
        run(Chain(watching(), watching()), None, fail)
    assert caught.value is boom
    assert log == [boom, boom]


def test_swallowing_the_error_makes_it_a_success(run: Run, written: Written) -> None:
    left: list[str] = []

    def outer(job: Any) -> Any:
        yield
        left.append("normally")

    def forgiving(job: Any) -> Any:
        with contextlib.suppress(Boom):
            yield

    def fail() -> None:
        raise Boom

    assert run(Chain(written(outer), written(forgiving)), None, fail) is None
    assert left == ["normally"]


def test_an_error_before_the_yield_skips_the_handler_and_reaches_the_outer_ones(run: Run, written: Written) -> None:
    seen: list[str] = []

    def outer(job: Any) -> Any:
        try:
            yield
        except Boom:
            seen.append("outer")
            raise

    def failing(job: Any) -> Any:
        raise Boom
        yield

    with pytest.raises(Boom):
        run(Chain(written(outer), written(failing)), None, lambda: seen.append("handler"))
    assert seen == ["outer"]


def test_an_error_after_the_yield_replaces_the_result(run: Run, written: Written) -> None:
    def failing(job: Any) -> Any:
        yield
        raise Boom

    with pytest.raises(Boom):
        run(Chain(written(failing)), None, lambda: 7)


def test_the_interruption_at_the_deadline_passes_through(run: Run, written: Written) -> None:
    cleaned: list[str] = []

    def cleaning(job: Any) -> Any:
        try:
            yield
        finally:
            cleaned.append("up")

    def interrupted() -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        run(Chain(written(cleaning)), None, interrupted)
    assert cleaned == ["up"]


def test_a_second_yield_is_an_error_that_names_the_middleware(run: Run, written: Written) -> None:
    def twice(job: Any) -> Any:
        yield
        yield

    with pytest.raises(RuntimeError, match="middleware` yielded twice" if written is as_async else "yielded twice"):
        run(Chain(written(twice)), None, lambda: 7)


def test_a_handler_may_raise_stop_iteration_on_a_thread() -> None:
    def passing(job: Any) -> Any:
        yield

    def stop() -> None:
        raise StopIteration("mine")

    with pytest.raises(StopIteration, match="mine"):
        run_server(Chain(passing), None, stop)


def test_a_context_variable_set_before_the_yield_is_seen_by_the_handler_and_reset_after_it(
    loop: asyncio.AbstractEventLoop,
) -> None:
    def plain(job: Any) -> Any:
        token = tenant.set("acme")
        yield
        tenant.reset(token)

    assert run_server(Chain(plain), None, tenant.get) == "acme"
    assert tenant.get() == "nobody"


def test_an_async_middleware_around_a_thread_may_use_timeouts_and_context_variables_across_its_yield(
    loop: asyncio.AbstractEventLoop,
) -> None:
    seen: list[str] = []

    async def across(job: Any) -> Any:
        token = tenant.set("acme")
        async with asyncio.timeout(30):
            yield
        seen.append(tenant.get())
        tenant.reset(token)

    assert run_server(Chain(across), None, lambda: 7, loop=loop) == 7
    assert seen == ["acme"]


def test_an_async_middleware_around_a_thread_runs_on_the_given_loop(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[Any] = []

    async def where(job: Any) -> Any:
        seen.append(asyncio.get_running_loop())
        yield
        seen.append(asyncio.get_running_loop())

    run_server(Chain(where), None, threading.get_ident, loop=loop)
    assert seen == [loop, loop]


@pytest.mark.parametrize("on_loop", [False, True])
def test_no_cycle_keeps_the_locals_of_a_failed_job_alive(on_loop: bool) -> None:
    class Large:
        pass

    def passing(job: Any) -> Any:
        yield

    remembered: list[weakref.ref[Large]] = []

    def fail() -> None:
        large = Large()
        remembered.append(weakref.ref(large))
        raise Boom(large)

    async def on_the_loop() -> None:
        with contextlib.suppress(Boom):
            await arun_server(Chain(passing, as_async(passing)), None, awaited(fail))
        assert remembered[0]() is None, "only the garbage collector would free it"

    gc.collect()
    gc.disable()
    try:
        if on_loop:
            asyncio.run(on_the_loop())
        else:
            with contextlib.suppress(Boom):
                run_server(Chain(passing), None, fail)
            assert remembered[0]() is None, "only the garbage collector would free it"
    finally:
        gc.enable()


def test_what_returns_no_generator_after_all_fails_the_job_with_its_name() -> None:
    def liar(job: Any) -> Any:
        return 5

    with pytest.raises(TypeError, match="liar` returned a int; expected a generator function"):
        run_server(Chain(liar), None, lambda: 7)
