"""Concurrent requests as one call, with a model of numpy whose calls can be counted and held up."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.serving.model import batching
from mainspring.components.serving.model.batching import Batcher, Limits


class Counted:
    """Doubles its input; refuses negative numbers. Remembers the rows of each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.threads: set[int] = set()
        self.may_go = threading.Event()
        self.may_go.set()

    def __call__(self, matrices):
        self.may_go.wait()
        self.calls.append(matrices[0].shape[1])
        self.threads.add(threading.get_ident())
        if (matrices[0] < 0).any():
            raise ValueError("negative")
        return {"prediction": matrices[0][0] * 2, "pair": np.stack([matrices[0][0], matrices[0][1]], axis=1)}


def rows(*values):
    return [np.array([values, [value + 0.5 for value in values]]), np.array([["x"] * len(values)], dtype=object)]


def answers(batcher, *requests):
    async def gather():
        return await asyncio.gather(*(batcher.answer(request) for request in requests), return_exceptions=True)

    return asyncio.run(gather())


def test_requests_of_one_moment_are_one_call_and_each_gets_its_own_rows():
    model = Counted()
    given = answers(Batcher(model), *(rows(*range(size)) for size in (1, 3, 2, 1)))
    assert model.calls == [7]
    for size, answer in zip((1, 3, 2, 1), given, strict=True):
        assert answer["prediction"].tolist() == [2 * value for value in range(size)]
        assert answer["pair"].tolist() == [[value, value + 0.5] for value in range(size)]


def test_a_batch_is_no_larger_than_allowed_and_one_row_switches_batching_off():
    model = Counted()
    answers(Batcher(model, Limits(rows=4)), *(rows(1) for _ in range(10)))
    assert sum(model.calls) == 10
    assert max(model.calls) == 4
    model = Counted()
    answers(Batcher(model, Limits(rows=1)), *(rows(1) for _ in range(5)))
    assert model.calls == [1] * 5


def test_a_request_that_the_model_refuses_does_not_harm_the_others():
    model = Counted()
    first, wrong, last = answers(Batcher(model), rows(1), rows(-1), rows(3))
    assert (first["prediction"].tolist(), last["prediction"].tolist()) == ([2], [6])
    assert isinstance(wrong, ValueError)


def test_what_comes_while_a_slow_model_is_busy_goes_together():
    model = Counted()
    model.may_go.clear()
    batcher = Batcher(model, in_loop=False)

    async def come():
        first = asyncio.ensure_future(batcher.answer(rows(0)))
        while not batcher._busy:
            await asyncio.sleep(0)
        others = [asyncio.ensure_future(batcher.answer(rows(value))) for value in range(5)]
        while len(batcher._waiting) < 5:
            await asyncio.sleep(0)
        model.may_go.set()
        return await asyncio.gather(first, *others)

    given = asyncio.run(come())
    assert model.calls == [1, 5]
    assert [answer["prediction"].tolist() for answer in given[1:]] == [[2 * value] for value in range(5)]
    assert threading.get_ident() not in model.threads, "the event loop stays free"


def test_a_delay_gathers_requests_that_come_one_by_one():
    model = Counted()
    batcher = Batcher(model, Limits(rows=3, delay_seconds=3600))

    async def come():
        coming = []
        for value in range(3):
            coming.append(asyncio.ensure_future(batcher.answer(rows(value))))
            await asyncio.sleep(0.01)
        return await asyncio.gather(*coming)

    asyncio.run(come())
    assert model.calls == [3], "the third one filled the batch: nobody waited an hour"


def test_a_client_that_has_gone_is_not_computed():
    model = Counted()
    batcher = Batcher(model, Limits(delay_seconds=0.05))

    async def come():
        gone = asyncio.ensure_future(batcher.answer(rows(1, 2, 3)))
        stays = asyncio.ensure_future(batcher.answer(rows(4)))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(come())["prediction"].tolist() == [8]
    assert model.calls == [1]


def test_a_request_larger_than_a_batch_is_a_call_of_its_own_in_a_thread():
    model = Counted()
    answers(Batcher(model, Limits(rows=4)), rows(*range(9)))
    assert model.calls == [9]
    assert threading.get_ident() not in model.threads


def test_limits_come_from_arguments_before_the_environment(monkeypatch):
    monkeypatch.setenv("MAINSPRING_BATCH_ROWS", "8")
    monkeypatch.setenv("MAINSPRING_BATCH_DELAY_MS", "2.5")
    assert batching.limits() == Limits(8, 0.0025)
    assert batching.limits(rows="1", delay_ms="0") == Limits(1, 0)
    for rows_, delay in (("0", ""), ("many", ""), ("5000", ""), ("", "-1"), ("", "nan"), ("", "2000")):
        with pytest.raises(UserError, match="batch_"):
            batching.limits(rows_, delay)
