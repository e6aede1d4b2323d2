"""`clew.trace` on the SDK's provider and on ours: what each colour of function gives, and what stays as it was."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import inspect
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any

import opentelemetry.sdk.trace
import opentelemetry.trace
import pytest
from opentelemetry.context import attach, detach, get_current, set_value
from opentelemetry.trace import NoOpTracerProvider, SpanKind, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.span import INVALID_SPAN

import clew
from clew.testing import Failure, SpanRecorder, assert_span, exceptions_of, outside_pytest


@pytest.fixture(params=[opentelemetry.sdk.trace.TracerProvider, clew.TracerProvider], ids=["sdk", "clew"])
def provider(request: pytest.FixtureRequest) -> Iterator[Any]:
    provider = request.param()
    yield provider
    provider.shutdown()


@pytest.fixture
def recorder(provider: Any) -> SpanRecorder:
    return SpanRecorder(provider)


@pytest.fixture
def traced(provider: Any, recorder: SpanRecorder) -> Callable[..., Any]:
    """`clew.trace` for this test's provider, which `recorder` listens to."""
    return functools.partial(clew.trace, tracer_provider=provider)


def current_span_id() -> int:
    return get_current_span().get_span_context().span_id


def is_traced_now() -> bool:
    return get_current_span().get_span_context().is_valid


async def let_run(until: Callable[[], bool]) -> None:
    """Give the other tasks their turns until `until` holds, a hundred turns at most."""
    for _ in range(100):
        if until():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


class TestFunctions:
    def test_a_call_is_a_span_that_is_current_while_it_runs(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        def price(article: str, *, times: int = 1) -> tuple[str, int, int]:
            return article, times, current_span_id()

        article, times, seen = price("tea", times=3)
        span = recorder.one()
        assert (article, times, seen) == ("tea", 3, span.context.span_id)
        assert_span(span, name="price", kind=SpanKind.INTERNAL, status=StatusCode.UNSET, parent_id="")
        assert not is_traced_now()

    def test_the_name_is_qualified_without_its_module_and_the_attribute_has_both(
        self, traced: Any, recorder: SpanRecorder
    ) -> None:
        Cart(traced).checkout()
        checkout = recorder.one(name="Basket.checkout")
        assert checkout.attributes["code.function.name"].endswith(
            "test_decorate.Cart.__init__.<locals>.Basket.checkout"
        )

    def test_name_kind_and_attributes_are_as_given(self, provider: Any, recorder: SpanRecorder) -> None:
        @clew.trace("settle", kind=SpanKind.PRODUCER, attributes={"shop": "x", "n": 2}, tracer_provider=provider)
        def pay() -> None: ...

        pay()
        assert_span(recorder.one(), name="settle", kind=SpanKind.PRODUCER, attributes={"shop": "x", "n": 2})

    def test_calls_inside_are_children(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        def inner() -> None: ...

        @traced()
        def outer() -> None:
            inner()
            inner()

        outer()
        parent = recorder.one(name="outer").context.span_id
        assert [span.parent.span_id for span in recorder.spans if span.name == "inner"] == [parent, parent]

    def test_an_exception_passes_untouched_and_is_recorded_once(self, traced: Any, recorder: SpanRecorder) -> None:
        failure = Failure("out of cheese")

        @traced()
        def fail() -> None:
            raise failure

        with pytest.raises(Failure) as caught:
            fail()
        assert caught.value is failure
        assert failure.__cause__ is failure.__context__ is None
        span = recorder.one()
        assert_span(span, status=StatusCode.ERROR, attributes={"error.type": f"{Failure.__module__}.Failure"})
        assert span.status.description == "out of cheese"
        assert [one["exception.message"] for one in exceptions_of(span)] == ["out of cheese"]

    def test_without_record_exception_only_the_status_tells(self, provider: Any, recorder: SpanRecorder) -> None:
        @clew.trace(record_exception=False, tracer_provider=provider)
        def fail() -> None:
            raise Failure("no")

        with pytest.raises(Failure):
            fail()
        assert_span(recorder.one(), status=StatusCode.ERROR)
        assert exceptions_of(recorder.one()) == []

    @pytest.mark.parametrize("error", [StopIteration(1), SystemExit(), SystemExit(0)], ids=repr)
    def test_the_end_of_an_iterator_or_program_is_no_error(
        self, traced: Any, recorder: SpanRecorder, error: BaseException
    ) -> None:
        @traced()
        def end() -> None:
            raise error

        with pytest.raises(type(error)):
            end()
        assert_span(recorder.one(), status=StatusCode.UNSET)
        assert exceptions_of(recorder.one()) == []

    def test_a_program_that_exits_with_a_failure_is_an_error(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        def end() -> None:
            sys.exit(3)

        with pytest.raises(SystemExit):
            end()
        assert_span(recorder.one(), status=StatusCode.ERROR)

    def test_an_exception_whose_text_fails_is_an_error_all_the_same(self, traced: Any, recorder: SpanRecorder) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise RuntimeError("mute")

        @traced()
        def fail() -> None:
            raise Mute

        with outside_pytest(), pytest.raises(Mute):
            fail()
        assert_span(recorder.one(), status=StatusCode.ERROR)

    def test_each_thread_has_its_own_span(self, traced: Any, recorder: SpanRecorder) -> None:
        barrier = threading.Barrier(8)
        seen: set[int] = set()

        @traced()
        def work() -> None:
            barrier.wait(100)
            seen.add(current_span_id())

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 8 == len(recorder.spans)

    def test_recursion_nests(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        def down(depth: int) -> int:
            return depth and 1 + down(depth - 1)

        assert down(3) == 3
        assert len(recorder.spans) == 4
        assert len({span.context.trace_id for span in recorder.spans}) == 1


class Cart:
    """Makes a class whose methods are decorated in every order there is."""

    def __init__(self, traced: Any) -> None:
        class Basket:
            @traced()
            def checkout(self) -> object:
                return self

            @traced()
            @classmethod
            def class_inside(cls) -> object:
                return cls

            @classmethod
            @traced()
            def class_outside(cls) -> object:
                return cls

            @traced()
            @staticmethod
            def static_inside(value: int) -> int:
                return value

            @staticmethod
            @traced()
            def static_outside(value: int) -> int:
                return value

            @property
            @traced()
            def total(self) -> int:
                return 7

            @traced()
            def __call__(self) -> str:
                return "called"

        self.basket = Basket()

    def checkout(self) -> object:
        return self.basket.checkout()


class TestMethods:
    def test_methods_of_every_kind_in_either_order(self, traced: Any, recorder: SpanRecorder) -> None:
        basket: Any = Cart(traced).basket
        cls = type(basket)
        assert basket.checkout() is basket
        assert basket.class_inside() is cls is cls.class_inside()
        assert basket.class_outside() is cls is cls.class_outside()
        assert basket.static_inside(1) == 1 == cls.static_inside(1)
        assert basket.static_outside(2) == 2 == cls.static_outside(2)
        assert basket.total == 7
        assert basket() == "called"
        assert [span.name for span in recorder.spans] == [
            "Basket.checkout",
            *["Basket.class_inside"] * 2,
            *["Basket.class_outside"] * 2,
            *["Basket.static_inside"] * 2,
            *["Basket.static_outside"] * 2,
            "Basket.total",
            "Basket.__call__",
        ]

    def test_a_bound_method_a_builtin_a_partial_and_an_object_are_functions_too(
        self, traced: Any, recorder: SpanRecorder
    ) -> None:
        class Doubler:
            def __call__(self, value: int) -> int:
                return value * 2

        def power(base: int, exponent: int) -> int:
            return int(base**exponent)

        numbers: list[int] = []
        traced()(numbers.append)(3)
        assert numbers == [3]
        assert traced()(functools.partial(power, exponent=2))(5) == 25
        assert traced()(Doubler())(4) == 8
        assert [span.name for span in recorder.spans] == ["list.append", "power", "Doubler"]
        assert recorder.spans[0].attributes["code.function.name"] == "list.append"

    @pytest.mark.parametrize("target", [Cart, property(lambda self: 1), 3, functools.partialmethod(print)])
    def test_what_is_no_function_is_refused(self, target: Any) -> None:
        with pytest.raises(TypeError, match="takes a function or method"):
            clew.trace(target)


class TestWhatStays:
    def test_name_doc_signature_hints_and_marks_are_those_of_the_function(self, traced: Any) -> None:
        def price(article: str, *, times: int = 1) -> float:
            """What it costs."""
            return 1.0

        price.mark = "slow"  # type: ignore[attr-defined]
        wrapped = traced()(price)
        assert wrapped.__wrapped__ is price
        assert (wrapped.__name__, wrapped.__doc__, wrapped.mark) == ("price", "What it costs.", "slow")
        assert inspect.signature(wrapped) == inspect.signature(price)
        assert inspect.get_annotations(wrapped) == inspect.get_annotations(price)

    def test_a_coroutine_function_a_generator_and_an_async_generator_are_still_one(self, traced: Any) -> None:
        async def coroutine() -> None: ...

        def generator() -> Generator[int]:
            yield 1

        async def async_generator() -> AsyncGenerator[int]:
            yield 1

        bare = clew.trace
        for decorate in (traced(), bare, lambda f: bare(functools.partial(f))):
            assert inspect.iscoroutinefunction(decorate(coroutine))
            assert inspect.isgeneratorfunction(decorate(generator))
            assert inspect.isasyncgenfunction(decorate(async_generator))
            assert not inspect.iscoroutinefunction(decorate(generator))

    def test_a_partial_gets_a_name(self) -> None:
        assert clew.trace(functools.partial(Cart.checkout)).__name__ == "checkout"


class TestCoroutines:
    def test_the_span_lasts_from_the_first_step_to_the_result(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        async def fetch(n: int) -> tuple[int, int]:
            await both_started.wait()
            assert recorder.open > 0
            return n, current_span_id()

        both_started = asyncio.Event()

        async def main() -> list[tuple[int, int]]:
            calls = [asyncio.ensure_future(fetch(n)) for n in range(2)]
            await let_run(lambda: recorder.open == 2)
            assert not is_traced_now()
            both_started.set()
            return await asyncio.gather(*calls)

        results = asyncio.run(main())
        assert [n for n, _ in results] == [0, 1]
        assert {span_id for _, span_id in results} == {span.context.span_id for span in recorder.spans}

    def test_a_coroutine_that_nobody_awaits_gives_no_span(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        async def fetch() -> None: ...

        fetch().close()
        assert recorder.spans == []

    def test_an_exception_is_an_error_and_a_cancellation_is_marked(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced("fails")
        async def fail() -> None:
            raise Failure("no")

        @traced("waits")
        async def wait() -> None:
            await asyncio.Event().wait()

        async def main() -> None:
            with pytest.raises(Failure):
                await fail()
            waiting = asyncio.ensure_future(wait())
            await let_run(lambda: recorder.open == 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        asyncio.run(main())
        assert_span(recorder.one(name="fails"), status=StatusCode.ERROR)
        cancelled = recorder.one(name="waits")
        assert_span(cancelled, status=StatusCode.UNSET, attributes={"clew.cancelled": True})
        assert exceptions_of(cancelled) == []

    def test_a_plain_function_around_a_coroutine_function_is_traced_to_the_result(
        self, traced: Any, recorder: SpanRecorder
    ) -> None:
        def logged(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            @functools.wraps(function)
            def wrapper(*args: Any) -> Awaitable[Any]:
                return function(*args)

            return wrapper

        @traced()
        @logged
        async def fetch(n: int) -> int:
            await asyncio.sleep(0)
            assert recorder.open == 1
            return n if is_traced_now() else 0

        async def main() -> int:
            pending = fetch(7)
            assert not is_traced_now()
            result: int = await pending
            return result

        assert asyncio.run(main()) == 7
        assert_span(recorder.one(name="fetch"), status=StatusCode.UNSET)

    def test_a_plain_function_that_runs_a_coroutine_function_gives_its_result(
        self, traced: Any, recorder: SpanRecorder
    ) -> None:
        async def fetch(n: int) -> int:
            if n < 0:
                raise Failure("negative")
            return n

        @functools.wraps(fetch)
        def run(n: int) -> int:
            return asyncio.run(fetch(n))

        call = traced()(run)
        assert call(7) == 7
        with pytest.raises(Failure):
            call(-1)
        assert [span.status.status_code for span in recorder.spans] == [StatusCode.UNSET, StatusCode.ERROR]


class TestGenerators:
    def test_the_span_lives_from_the_first_step_to_exhaustion(self, traced: Any, recorder: SpanRecorder) -> None:
        inside: list[int] = []

        @traced()
        def numbers(n: int) -> Generator[int]:
            for number in range(n):
                inside.append(current_span_id())
                yield number

        stream = numbers(3)
        assert recorder.open == 0
        outside: list[bool] = []
        for number in stream:
            outside.append(is_traced_now())
            assert (number, recorder.open) == (len(outside) - 1, 1)
        assert outside == [False] * 3
        assert inside == [recorder.one(name="numbers").context.span_id] * 3

    def test_values_sent_thrown_and_returned_pass_through(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        def dialogue() -> Generator[str, str, str]:
            heard = yield "hello"
            try:
                heard = yield heard.upper()
            except KeyError as error:
                assert is_traced_now()
                heard = yield f"caught {error}"
            return heard

        stream = dialogue()
        assert next(stream) == "hello"
        assert stream.send("tea") == "TEA"
        assert stream.throw(KeyError(1)) == "caught 1"
        with pytest.raises(StopIteration) as stop:
            stream.send("bye")
        assert stop.value.value == "bye"
        assert_span(recorder.one(), status=StatusCode.UNSET)

    def test_it_can_be_delegated_to(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        def inner() -> Generator[int, None, str]:
            yield 1
            return "done"

        def outer() -> Generator[int, None, str]:
            return (yield from inner())

        stream = outer()
        assert next(stream) == 1
        with pytest.raises(StopIteration, match="done"):
            next(stream)
        assert_span(recorder.one(name="inner"))

    def test_closing_early_runs_the_cleanup_in_the_span_and_is_no_error(
        self, traced: Any, recorder: SpanRecorder
    ) -> None:
        cleaned: list[bool] = []

        @traced()
        def numbers() -> Generator[int]:
            try:
                yield 1
                yield 2
            finally:
                cleaned.append(is_traced_now())

        for _ in (stream := numbers()):
            break
        stream.close()
        assert cleaned == [True]
        assert_span(recorder.one(), status=StatusCode.UNSET, attributes={"clew.cancelled": True})
        assert exceptions_of(recorder.one()) == []

    def test_a_generator_that_is_forgotten_ends_its_span(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        def numbers() -> Generator[int]:
            yield 1

        next(numbers())
        gc.collect()
        assert recorder.open == 0
        assert_span(recorder.one(), status=StatusCode.UNSET)

    def test_a_generator_that_will_not_close_is_told_as_python_tells_it(
        self, traced: Any, recorder: SpanRecorder
    ) -> None:
        @traced()
        def stubborn() -> Generator[int]:
            try:
                yield 1
            except GeneratorExit:
                yield 2

        stream = stubborn()
        next(stream)
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
            stream.close()

    def test_a_failure_and_what_was_thrown_in_are_errors(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        def numbers() -> Generator[int]:
            yield 1
            raise Failure("no more")

        with pytest.raises(Failure):
            list(numbers())
        stream = numbers()
        next(stream)
        with pytest.raises(LookupError):
            stream.throw(LookupError("thrown"))
        assert [span.status.description for span in recorder.spans] == ["no more", "thrown"]
        assert all(len(exceptions_of(span)) == 1 for span in recorder.spans)

    def test_one_never_started_gives_no_span(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        def numbers() -> Generator[int]:
            yield 1

        numbers().close()
        del numbers
        gc.collect()
        assert recorder.open == 0
        assert recorder.spans == []

    def test_what_the_body_makes_current_stays_its_own(
        self, provider: Any, traced: Any, recorder: SpanRecorder
    ) -> None:
        tracer = provider.get_tracer("test")
        seen: list[int] = []

        @traced()
        def body() -> Generator[int]:
            with tracer.start_as_current_span("child") as child:
                yield 1
                seen.append(current_span_id() - child.get_span_context().span_id)
                yield 2
            seen.append(current_span_id())

        with tracer.start_as_current_span("consumer") as consumer:
            for _ in body():
                assert get_current_span() is consumer
                with tracer.start_as_current_span("between"):
                    pass
        span = recorder.one(name="body")
        assert seen == [0, span.context.span_id]
        assert recorder.one(name="child").parent.span_id == span.context.span_id
        assert {one.parent.span_id for one in recorder.spans if one.name == "between"} == {
            consumer.get_span_context().span_id
        }

    def test_two_interleaved_generators_do_not_see_each_other(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        def body() -> Generator[int]:
            for _ in range(3):
                yield current_span_id()

        pairs = list(zip(body(), body(), strict=True))
        assert len(set(pairs)) == 1
        assert len(set(pairs[0])) == 2
        assert [span.parent for span in recorder.spans] == [None, None]

    def test_steps_in_different_contexts_and_threads_are_fine(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        def body() -> Generator[int]:
            for _ in range(3):
                yield current_span_id()

        stream = body()
        seen = [contextvars.Context().run(next, stream)]
        thread = threading.Thread(target=lambda: seen.append(next(stream)))
        thread.start()
        thread.join()
        contextvars.Context().run(stream.close)
        assert seen == [recorder.one().context.span_id] * 2


class TestAsyncGenerators:
    def test_the_span_lives_from_the_first_step_to_exhaustion(self, traced: Any, recorder: SpanRecorder) -> None:
        inside: list[int] = []
        outside: list[bool] = []

        @traced()
        async def numbers(n: int) -> AsyncGenerator[int]:
            for number in range(n):
                await asyncio.sleep(0)
                inside.append(current_span_id())
                yield number

        async def main() -> None:
            async for _ in numbers(3):
                outside.append(is_traced_now())
                assert recorder.open == 1

        asyncio.run(main())
        assert outside == [False] * 3
        assert inside == [recorder.one(name="numbers").context.span_id] * 3

    def test_values_sent_and_thrown_pass_through(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        async def dialogue() -> AsyncGenerator[str, str]:
            heard = yield "hello"
            try:
                yield heard.upper()
            except KeyError as error:
                assert is_traced_now()
                yield f"caught {error}"

        async def main() -> None:
            stream = dialogue()
            assert await anext(stream) == "hello"
            assert await stream.asend("tea") == "TEA"
            assert await stream.athrow(KeyError(1)) == "caught 1"
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

        asyncio.run(main())
        assert_span(recorder.one(), status=StatusCode.UNSET)

    def test_closing_early_runs_the_cleanup_in_the_span_and_is_no_error(
        self, traced: Any, recorder: SpanRecorder
    ) -> None:
        cleaned: list[bool] = []

        @traced()
        async def numbers() -> AsyncGenerator[int]:
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                cleaned.append(is_traced_now())

        async def main() -> None:
            stream = numbers()
            await anext(stream)
            await stream.aclose()
            assert not is_traced_now()

        asyncio.run(main())
        assert cleaned == [True]
        assert_span(recorder.one(), status=StatusCode.UNSET, attributes={"clew.cancelled": True})

    def test_one_that_is_left_open_is_finished_by_the_loop(
        self, traced: Any, recorder: SpanRecorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        cleaned: list[bool] = []

        @traced()
        async def numbers() -> AsyncGenerator[int]:
            try:
                yield 1
                yield 2
            finally:
                cleaned.append(is_traced_now())

        async def main() -> None:
            async for _ in numbers():
                break
            gc.collect()

        asyncio.run(main())
        assert cleaned == [True]
        assert_span(recorder.one(), status=StatusCode.UNSET)
        # The finaliser runs in a context of its own, where a context made current elsewhere cannot be taken back.
        assert caplog.records == []

    def test_a_failure_is_an_error_and_a_cancellation_is_marked(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced("fails")
        async def fail() -> AsyncGenerator[int]:
            yield 1
            raise Failure("no more")

        @traced("waits")
        async def wait() -> AsyncGenerator[int]:
            await asyncio.Event().wait()
            yield 1

        async def main() -> None:
            with pytest.raises(Failure):
                async for _ in fail():
                    pass
            waiting = asyncio.ensure_future(anext(wait()))
            await let_run(lambda: recorder.open == 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        asyncio.run(main())
        assert_span(recorder.one(name="fails"), status=StatusCode.ERROR)
        assert_span(recorder.one(name="waits"), status=StatusCode.UNSET, attributes={"clew.cancelled": True})

    def test_a_plain_function_around_a_generator_is_traced_to_its_end(
        self, traced: Any, recorder: SpanRecorder
    ) -> None:
        def logged(function: Any) -> Any:
            return functools.wraps(function)(lambda *args: function(*args))

        @traced("sync")
        @logged
        def numbers() -> Generator[bool, None, int]:
            yield is_traced_now()
            return 5

        @traced("async")
        @logged
        async def async_numbers() -> AsyncIterator[bool]:
            yield is_traced_now()

        async def main() -> list[bool]:
            return [item async for item in async_numbers()]

        assert list(numbers()) == [True]
        assert asyncio.run(main()) == [True]
        assert [span.name for span in recorder.spans] == ["sync", "async"]


class TestArguments:
    def test_nothing_of_the_arguments_is_recorded_unless_it_is_named(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced()
        def login(user: str, password: str) -> None: ...

        login("ada", password="secret")
        assert list(recorder.one().attributes) == ["code.function.name"]

    def test_named_arguments_are_found_wherever_the_call_has_them(self, traced: Any, recorder: SpanRecorder) -> None:
        @traced(arguments=("a", "b", "c", "d", "extra"))
        def call(a: int, /, b: str, *rest: int, c: float = 0.5, d: object = None, **more: object) -> None: ...

        call(1, "x")
        call(1, b="x", c=1.5, d=["p", "q"], extra=True)
        call(2, "y", 3, 4, d={"k": 1})
        assert [
            {key: value for key, value in span.attributes.items() if not key.startswith("code.")}
            for span in recorder.spans
        ] == [
            {"a": 1, "b": "x", "c": 0.5},
            {"a": 1, "b": "x", "c": 1.5, "d": ("p", "q"), "extra": True},
            {"a": 2, "b": "y", "c": 0.5, "d": "{'k': 1}"},
        ]

    def test_a_mapping_says_under_which_names(self, traced: Any, recorder: SpanRecorder) -> None:
        class Shop:
            @traced(arguments={"user_id": "user.id"})
            async def pay(self, user_id: int) -> None: ...

            @traced(arguments=("amount",))
            @classmethod
            def refund(cls, amount: int) -> Generator[int]:
                yield amount

        asyncio.run(Shop().pay(7))
        list(Shop.refund(8))
        assert recorder.one(name="Shop.pay").attributes["user.id"] == 7
        assert recorder.one(name="Shop.refund").attributes["amount"] == 8

    def test_an_argument_the_function_has_not_is_refused_when_it_is_decorated(self) -> None:
        with pytest.raises(ValueError, match="has no argument 'c' to record"):

            @clew.trace(arguments=("c",))
            def call(a: int) -> None: ...

        with pytest.raises(TypeError, match=r"\('a',\) is meant"):
            clew.trace(arguments="a")

    def test_an_argument_that_cannot_be_read_costs_the_call_nothing(self, traced: Any, recorder: SpanRecorder) -> None:
        class Unreadable:
            def __str__(self) -> str:
                raise RuntimeError("no text")

        @traced(arguments=("value",))
        def call(value: object) -> int:
            return 1

        with outside_pytest():
            assert call(Unreadable()) == 1
        assert not is_traced_now()
        assert_span(recorder.one(), status=StatusCode.UNSET)


class TestProviders:
    def test_decorating_before_a_provider_is_set_works(self) -> None:
        program = (
            "import clew\n"
            "from clew.testing import SpanRecorder\n"
            "@clew.trace\n"
            "def work(): return 1\n"
            "@clew.trace\n"
            "def numbers(): yield 1\n"
            "assert work() == 1 and list(numbers()) == [1]\n"
            "provider = clew.configure(service_name='s', endpoint='http://127.0.0.1:9')\n"
            "recorder = SpanRecorder(provider)\n"
            "assert work() == 1 and list(numbers()) == [1]\n"
            "print([span.name for span in recorder.spans])\n"
            "clew.shutdown(0)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert (done.stdout, done.returncode) == ("['work', 'numbers']\n", 0), done.stderr

    def test_with_the_apis_own_provider_calls_go_straight_through(self) -> None:
        @clew.trace(tracer_provider=NoOpTracerProvider())
        def depth() -> int:
            return len(inspect.stack(0))

        @clew.trace(tracer_provider=NoOpTracerProvider())
        async def fetch() -> AsyncGenerator[int]:
            received = yield 1
            yield received

        async def main() -> tuple[int, int]:
            stream = fetch()
            return await anext(stream), await stream.asend(5)

        assert depth() > 0
        assert asyncio.run(main()) == (1, 5)

    def test_a_provider_that_fails_costs_the_call_nothing(self, provider: Any) -> None:
        class Broken(type(provider)):  # type: ignore[misc]
            def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
                tracer = super().get_tracer(*args, **kwargs)

                class Tracer:
                    def start_span(self, *args: Any, **kwargs: Any) -> Any:
                        raise RuntimeError("broken")

                    start_as_current_span = start_span

                return Tracer() if tracer else None

        broken = Broken()

        @clew.trace(tracer_provider=broken)
        def work() -> int:
            return 1

        @clew.trace(tracer_provider=broken)
        def fail() -> None:
            raise Failure("the application's")

        @clew.trace(tracer_provider=broken)
        def numbers() -> Generator[int]:
            yield 1

        with outside_pytest():
            assert work() == 1
            assert list(numbers()) == [1]
            with pytest.raises(Failure) as caught:
                fail()
        assert caught.value.__context__ is None
        broken.shutdown()

    def test_a_parent_that_is_not_sampled_gives_no_span_and_reads_no_argument(
        self, traced: Any, recorder: SpanRecorder
    ) -> None:
        class Watched:
            def __str__(self) -> str:
                raise AssertionError("read")

        @traced(arguments=("value",))
        def call(value: object) -> bool:
            return get_current_span().get_span_context().trace_flags.sampled

        from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

        unsampled = NonRecordingSpan(SpanContext(1, 2, False, TraceFlags(0)))
        token = attach(set_span_in_context(unsampled))
        try:
            assert call(Watched()) is False
        finally:
            detach(token)
        assert recorder.spans == []

    def test_the_rest_of_the_context_is_there_in_the_body(self, traced: Any) -> None:
        @traced()
        def plain() -> object:
            return get_current().get("tenant")

        @traced()
        def numbers() -> Generator[object]:
            yield get_current().get("tenant")

        token = attach(set_value("tenant", "x"))
        try:
            assert plain() == "x"
            assert list(numbers()) == ["x"]
        finally:
            detach(token)
        assert get_current_span() is INVALID_SPAN


def test_loading_it_loads_nothing_heavy() -> None:
    program = (
        "import sys, clew; clew.trace; print([n for n in ('asyncio', 'opentelemetry.sdk', 'grpc') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_global_provider_is_found_however_late_it_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    api = opentelemetry.trace

    @clew.trace
    def work() -> str:
        return f"{get_current_span().get_span_context().span_id:x}"

    assert hasattr(api, "_TRACER_PROVIDER")  # else calls without a provider are slower, and nothing else changes
    for provider in (
        None,
        NoOpTracerProvider(),
        opentelemetry.sdk.trace.TracerProvider(),
        None,
        opentelemetry.sdk.trace.TracerProvider(),
    ):
        monkeypatch.setattr(api, "_TRACER_PROVIDER", provider)
        is_traced = isinstance(provider, opentelemetry.sdk.trace.TracerProvider)
        assert [work() != "0", work() != "0"] == [is_traced] * 2


def test_a_provider_that_the_environment_names_is_loaded_by_the_first_call() -> None:
    program = (
        "import clew\nfrom opentelemetry.trace import get_current_span\n"
        "@clew.trace\ndef work(): return get_current_span().get_span_context().is_valid\n"
        "print(work(), work())"
    )
    environment = {"OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider", "OTEL_TRACES_EXPORTER": "none"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.stderr) == ("True True\n", "")
