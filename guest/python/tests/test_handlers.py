"""Loading and invoking handlers."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from tests.harness import AgentTest
from usetl import _abi


class HandlerTest(AgentTest):
    def value(self, source: str, event: object = None, **order: object) -> object:
        answer = self.loaded(source, **order).invoke(event)
        self.assertTrue(answer["ok"], answer)
        return answer["value"]

    def test_signatures(self) -> None:
        agent = self.agent()
        for number, (signature, body) in enumerate(
            [
                ("handler(event, context)", "[event, context.request_id]"),
                ("handler(event, context=None)", "[event, context.request_id]"),
                ("handler(*args)", "[args[0], args[1].request_id]"),
                ("main(event)", "[event, 'r']"),
                ("handle(event, /)", "[event, 'r']"),
                ("main()", "[{'a': [1, None, 'ü']}, 'r']"),
            ]
        ):
            path = self.file(f"def {signature}:\n    return {body}\n", f"f{number}.py")
            self.assertTrue(agent.load(path)["ok"], signature)
            answer = agent.invoke({"a": [1, None, "ü"]}, request_id="r")
            self.assertEqual(answer, {"ok": True, "value": [{"a": [1, None, "ü"]}, "r"]}, signature)

    def test_impossible_signatures(self) -> None:
        agent = self.agent()
        for signature in ("handler(a, b, c)", "handler(event, *, key)"):
            answer = agent.load(self.file(f"def {signature}: pass"))
            self.assertEqual((answer["error"]["type"], answer["error"]["traceback"]), ("", ""), signature)
            self.assertIn("the handler must ", answer["error"]["message"])

    def test_order_of_names(self) -> None:
        source = "def handle(e): return 3\ndef main(e): return 2\ndef handler(e, c): return 1\n"
        self.assertEqual(self.value(source), 1)
        self.assertEqual(self.value(source, handler="main"), 2)
        self.assertEqual(self.value(source, handler="x.handle"), 3)

    def test_async(self) -> None:
        source = """
            import asyncio
            loops = set()
            async def handler(event, context):
                await asyncio.sleep(0)
                loops.add(asyncio.get_running_loop())
                return [event, len(loops)]
            """
        agent = self.loaded(source)
        self.assertEqual(agent.invoke(1)["value"], [1, 1])
        self.assertEqual(agent.invoke(2)["value"], [2, 1])

    def test_callable_object(self) -> None:
        source = """
            class Add:
                def __call__(self, event): return event + 1
            handler = Add()
            """
        self.assertEqual(self.value(source, 4), 5)

    def test_state_stays_between_events(self) -> None:
        agent = self.loaded("n = 0\ndef handler(e, c):\n    global n\n    n += 1\n    return n")
        self.assertEqual([agent.invoke()["value"] for _ in range(3)], [1, 2, 3])

    def test_context(self) -> None:
        source = """
            import usetl
            def handler(event, context):
                assert context is usetl.context()
                left = context.remaining_time_ms() > 1000 < context.get_remaining_time_in_millis()
                return [context.function_name, left, context.memory_limit_mb, context.env["K"]]
            """
        agent = self.loaded(source, env={"K": "v"})
        answer = agent.invoke(
            function_name="f", deadline=time.monotonic() + 60, memory_limit_mb=128
        )
        self.assertEqual(answer["value"], ["f", True, 128, "v"])

    def test_surroundings(self) -> None:
        self.file("answer = 42", "neighbour.py")
        source = """
            import os, sys, pickle, neighbour
            class Thing: pass
            def handler(event, context):
                pickle.loads(pickle.dumps(Thing()))
                return [neighbour.answer, os.getcwd(), sys.argv, __name__, __file__, os.getenv("A")]
            """
        path = str(self.folder / "x.py")
        value = self.value(source, env={"A": "1", "HOME": None}, argv=["-v"])
        self.assertEqual(value, [42, str(self.folder), [path, "-v"], "function", path, "1"])

    def test_compiled(self) -> None:
        agent = self.agent()
        path, compiled = (
            self.file("def handler(e, c): return e * 2"),
            self.folder / "cache" / "x.pyc",
        )
        self.assertTrue(agent.load(path, save_code=str(compiled))["ok"])
        path.write_text("this is not what runs")
        self.assertTrue(agent.load(path, code=str(compiled))["ok"])
        self.assertEqual(agent.invoke(21)["value"], 42)
        compiled.write_bytes(b"\0\0\0\0" + compiled.read_bytes()[4:])
        self.assertEqual(agent.load(path, code=str(compiled))["error"]["type"], "SyntaxError")

    def test_large_values_travel_by_file(self) -> None:
        agent = self.loaded("def handler(e, c): return e * 2")
        event = self.folder / "event.json"
        event.write_text(json.dumps("ä" * 30_000))
        answer = agent.ask(2, {"event_path": str(event)})
        self.assertEqual(json.loads(Path(answer["path"]).read_bytes()), "ä" * 60_000)
        self.assertEqual(agent.invoke(1)["value"], 2)
        self.assertFalse(os.path.exists(answer["path"]))

    def test_large_values_stay_until_they_are_read(self) -> None:
        agent = self.loaded("def handler(e, c): return e * 30_000")
        paths = []
        for unread in (None, 2, 3, 3):
            order = {"event": "x"} if unread is None else {"event": "x", "unread": unread}
            paths.append(agent.ask(_abi.INVOKE, order)["path"])
        self.assertEqual([os.path.exists(path) for path in paths], [False, True, True, True], paths)
        agent.invoke(1)
        self.assertFalse(any(map(os.path.exists, paths)))

    def test_output_comes_before_the_result(self) -> None:
        source = """
            import sys
            def handler():
                print("half", end="")
                sys.stderr.write("err")
            """
        agent = self.loaded(source)
        agent.invoke()
        self.assertEqual((agent.output(), agent.errors()), ("half", "err"))

    def test_lost_streams_do_not_matter(self) -> None:
        source = """
            import sys
            def handler():
                sys.stdout = None
                sys.stderr.close()
                return 1
            """
        self.assertEqual(self.loaded(source).invoke()["value"], 1)

    def test_stop(self) -> None:
        agent = self.loaded("def handler(e, c): print('x', end='')")
        agent.send(3)
        self.assertEqual(agent.process.wait(30), 0)
