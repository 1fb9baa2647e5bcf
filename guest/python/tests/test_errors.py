"""What goes wrong in a function ends in a clear reply, and the agent goes on."""

from __future__ import annotations

from tests.harness import AgentTest


class LoadErrorTest(AgentTest):
    def error(self, source: str, **order: object) -> dict:
        agent = self.agent()
        answer = agent.load(self.file(source), **order)
        self.assertFalse(answer["ok"])
        self.assertFalse(agent.invoke()["ok"])
        self.assertTrue(agent.load(self.file("def handler(): pass", "good.py"))["ok"])
        self.assertTrue(agent.invoke()["ok"])
        return answer

    def test_syntax_error(self) -> None:
        error = self.error("x = 1\ndef handler(:\n    pass\n")["error"]
        self.assertEqual((error["type"], error["line"]), ("SyntaxError", 2))
        self.assertEqual(error["file"], str(self.folder / "x.py"))
        self.assertIn("def handler(:", error["traceback"])
        self.assertNotIn("_serve.py", error["traceback"])

    def test_exception_while_importing(self) -> None:
        error = self.error("import json\njson.loads('{')\ndef handler(): pass")["error"]
        self.assertEqual((error["type"], error["line"]), ("json.decoder.JSONDecodeError", 2))

    def test_no_handler(self) -> None:
        error = self.error("x = 1", mode="handler")["error"]
        self.assertIn("defines none of", error["message"])
        self.assertIn("has no missing", self.error("x = 1", handler="missing")["error"]["message"])
        self.assertIn("not a function", self.error("x = 1", handler="x")["error"]["message"])

    def test_missing_file(self) -> None:
        answer = self.agent().load("/nowhere/x.py")
        self.assertEqual(answer["error"]["type"], "FileNotFoundError")

    def test_out_of_memory_while_importing(self) -> None:
        more = "b'x' * 2**60"
        answer = self.error(f"kept = []\n{more}\ndef handler(): pass")
        self.assertEqual((answer["out_of_memory"], answer["error"]["type"]), (True, "MemoryError"))
        self.assertEqual(answer["error"]["line"], 2)
        answer = self.error(f"try:\n    {more}\nexcept MemoryError:\n    1 / 0\ndef handler(): pass")
        self.assertNotIn("out_of_memory", answer)

    def test_exit_while_importing(self) -> None:
        self.assertEqual(self.error("import sys\nsys.exit(7)\ndef handler(): 0")["exit"], 7)


class InvokeErrorTest(AgentTest):
    def answer(self, body: str, event: object = None) -> dict:
        agent = self.loaded(f"import sys\ndef handler(event, context):\n    {body}\n")
        answer = agent.invoke(event)
        self.assertFalse(answer["ok"])
        self.assertFalse(agent.invoke(event)["ok"])  # still there
        return answer

    def test_exception(self) -> None:
        error = self.answer("return event['missing']", {})["error"]
        self.assertEqual((error["type"], error["line"]), ("KeyError", 3))
        self.assertEqual(error["file"], str(self.folder / "x.py"))
        self.assertEqual(error["traceback"].count("File "), 1)

    def test_exit(self) -> None:
        self.assertEqual(self.answer("sys.exit(3)")["exit"], 3)
        self.assertEqual(self.answer("sys.exit('why')")["exit"], 1)
        self.assertEqual(self.answer("sys.exit()")["exit"], 0)

    def test_results_that_are_no_json(self) -> None:
        for body, kind in {
            "return b'bytes'": "TypeError",
            "return {1, 2}": "TypeError",
            "return float('nan')": "ValueError",
            "return '\\ud800'": "ValueError",
            "x = []; x.append(x); return x": "ValueError",
        }.items():
            error = self.answer(body)["error"]
            self.assertEqual(error["type"], kind, body)
            self.assertTrue(error["message"].startswith("the result is not JSON: "), error)

    def test_errors_that_are_no_text(self) -> None:
        error = self.answer("raise ValueError('a \\ud800 b')")["error"]
        self.assertEqual(error["message"], "a \\ud800 b")
        self.assertIn("a \\ud800 b", error["traceback"])

    def test_recursion_and_memory(self) -> None:
        self.assertEqual(self.answer("handler(event, context)")["error"]["type"], "RecursionError")
        self.assertEqual(self.answer("return 'x' * 2**60")["error"]["type"], "MemoryError")

    def test_interrupt(self) -> None:
        body = "import signal; signal.raise_signal(signal.SIGINT)"
        self.assertEqual(self.answer(body)["error"]["type"], "KeyboardInterrupt")

    def test_huge_message_is_cut(self) -> None:
        error = self.answer("raise ValueError('ü' * 1_000_000)")["error"]
        self.assertLess(len(error["message"]), 13_000)

    def test_hostile_exception(self) -> None:
        body = "raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})()"
        self.assertEqual(self.answer(body)["error"]["type"], "E")
