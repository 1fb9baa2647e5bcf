"""Snapshot hooks, and what must not repeat after a restore."""

from __future__ import annotations

import random
import tempfile
import unittest
import uuid
from unittest import mock

from tests.harness import AgentTest
from usetl import _reseed, hooks


class HooksTest(unittest.TestCase):
    def test_order_and_arguments(self) -> None:
        calls: list[object] = []
        with mock.patch.multiple(hooks, _before_snapshot=[], _after_restore=[]):

            @hooks.register_before_snapshot
            def first() -> None:
                calls.append("first")

            hooks.register_before_snapshot(calls.append, "second")
            hooks.register_after_restore(calls.append, 1)
            hooks.register_after_restore(lambda *, key: calls.append(key), key=2)
            hooks.run_before_snapshot()
            hooks.run_after_restore()
        self.assertEqual(calls, ["second", "first", 1, 2])


class ReseedTest(unittest.TestCase):
    def test_python_state_does_not_repeat(self) -> None:
        def draw() -> list[object]:
            return [random.random(), next(tempfile._get_candidate_names()), uuid.uuid1().node]

        draw()
        state, names = random.getstate(), tempfile._name_sequence
        rng = names.rng.getstate()
        results = []
        for _ in range(2):  # two restores of one snapshot
            random.setstate(state)
            names.rng.setstate(rng)
            tempfile._name_sequence = names
            _reseed.reseed()
            results.append(draw())
        for one, two in zip(*results):
            self.assertNotEqual(one, two)

    def test_libraries_that_are_loaded(self) -> None:
        numpy = mock.Mock()
        with mock.patch.dict("sys.modules", {"numpy": numpy}):
            _reseed.reseed()
        numpy.random.seed.assert_called_once_with()


class RestoreTest(AgentTest):
    SOURCE = """
        import random, usetl
        restores = []
        usetl.register_after_restore(restores.append, 1)
        random.seed(1)
        def handler(event, context):
            return [random.random(), len(restores)]
        """

    def test_new_generation(self) -> None:
        agent = self.loaded(self.SOURCE)
        agent.restore()
        one, restores = agent.invoke()["value"]
        self.assertNotEqual(one, random.Random(1).random())
        self.assertEqual(restores, 1)
        self.assertEqual(agent.invoke()["value"][1], 1)

    def test_same_generation(self) -> None:
        agent = self.loaded(self.SOURCE)
        self.assertEqual(agent.invoke()["value"], [random.Random(1).random(), 0])

    def test_failing_hook(self) -> None:
        source = """
            import usetl
            usetl.register_after_restore(lambda: 1 / 0)
            def handler(): return 1
            """
        agent = self.loaded(source)
        agent.restore()
        for _ in range(2):
            self.assertEqual(agent.invoke()["error"]["type"], "ZeroDivisionError")
