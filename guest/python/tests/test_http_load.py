"""Finding what answers HTTP requests: files, folders, modules, names."""

from __future__ import annotations

from tests.web_case import WebTest
from usetl._http.locate import FILES

HANDLER = "def {}(event, context): return __name__\n"
ASGI = """
async def {}(scope, receive, send):
    if scope["type"] == "http":
        await send({{"type": "http.response.start", "status": 200}})
        await send({{"type": "http.response.body", "body": b"{}"}})
"""


class ConventionTest(WebTest):
    def convention(self, source: str, **order: object) -> tuple[str, str]:
        answer = self.agent().load(self.file(source), mode="http", **order)
        self.assertTrue(answer["ok"], answer)
        return answer["handler"], answer["convention"]

    def test_what_a_function_is(self) -> None:
        wsgi = "def {}(environ, start_response): pass\n"
        for source, name, convention in (
            (HANDLER.format("handler"), "handler", "event"),
            (HANDLER.format("lambda_handler"), "lambda_handler", "lambda"),
            (HANDLER.format("handle_event"), "handle_event", "cloudevent"),
            ("def main(context): pass", "main", "context"),
            ("def main(event): pass", "main", "event"),
            ("def handle(event): pass", "handle", "event"),
            (ASGI.format("handle", ""), "handle", "asgi"),
            (ASGI.format("app", ""), "app", "asgi"),
            (wsgi.format("application"), "application", "wsgi"),
            ("app = lambda a, b: []", "app", "wsgi"),
            ("async def app(a, b, c): pass", "app", "asgi"),
            # The order: what serves requests comes before what may be a program's main.
            ("def main(): 1 / 0\n" + wsgi.format("app"), "app", "wsgi"),
            ("app = 1\ndef main(event): pass", "main", "event"),
            ("from hashlib import new\n" + HANDLER.format("handler"), "handler", "event"),
            (wsgi.format("app") + HANDLER.format("handler"), "handler", "event"),
        ):
            with self.subTest(source):
                self.assertEqual(self.convention(source), (name, convention))

    def test_names_that_are_asked_for(self) -> None:
        source = HANDLER.format("one") + ASGI.format("two", "") + "class C:\n  f = one\n"
        self.assertEqual(self.convention(source, handler="one"), ("one", "event"))
        self.assertEqual(self.convention(source, handler="x.two"), ("two", "asgi"))
        self.assertEqual(self.convention(source, target="x:two"), ("two", "asgi"))
        self.assertEqual(self.convention(source, target=":C.f"), ("C.f", "event"))
        self.assertIn("has no three", self.load_error(source, target="x:three"))

    def test_nothing_to_call(self) -> None:
        message = self.load_error("print('a script')\napp = 5\n")
        self.assertIn("nothing that answers HTTP requests", message)
        self.assertIn("not 3 arguments", self.load_error("def handler(a, b, c): pass"))


class PlaceTest(WebTest):
    def body(self, path: object = None, **order: object) -> str:
        agent = self.agent()
        answer = agent.load(path or self.folder, mode="http", **order)
        self.assertTrue(answer["ok"], answer)
        return self.ask(agent).body.decode()

    def test_files_of_a_folder(self) -> None:
        for name in reversed(FILES):  # each goes before those that are there already
            self.file(f"def handler(event, context): return '{name}'\n", name)
            self.assertEqual(self.body(), name)
        self.assertEqual(self.body(str(self.folder) + "/"), FILES[0])
        self.assertEqual(self.body(target="index.py"), "index.py")
        self.assertEqual(self.body(target="index"), "index.py")
        self.assertEqual(self.body(target="index:handler"), "index.py")
        self.assertEqual(self.body(handler="index.handler"), "index.py")
        self.assertEqual(self.body(self.folder / "func.py", target="app:handler"), "app.py")

    def test_packages(self) -> None:
        package = self.folder / "function"
        package.mkdir()
        self.file(HANDLER.format("handler"), "function/func.py")
        self.assertEqual(self.body(), "function.func")
        self.file("", "function/__init__.py")
        self.assertEqual(self.body(), "function.func")
        self.file("from .func import handler as handle\n", "function/__init__.py")
        self.assertEqual(self.body(), "function.func")
        self.file(HANDLER.format("other"), "function/sub.py")
        self.assertEqual(self.body(target="function.sub:other"), "function.sub")

    def test_surroundings(self) -> None:
        source = """
            import os, sys, neighbour
            def handler(event, context):
                return [os.getcwd(), sys.argv, neighbour.answer, os.environ["A"]]
            """
        file = self.file(source, "app.py")
        self.file("answer = 42", "neighbour.py")
        agent = self.agent()
        agent.load(self.folder, mode="http", env={"A": "1"}, argv=["-v"])
        expected = [str(self.folder), [str(file), "-v"], 42, "1"]
        self.assertEqual(self.ask(agent).json, expected)
        self.assertTrue(agent.load(self.folder, mode="http", cwd="/", env={"A": "2"})["ok"])
        self.assertEqual(self.ask(agent).json, ["/", [str(file)], 42, "2"])

    def test_compiled(self) -> None:
        compiled = self.folder / "cache" / "x.pyc"
        file = self.file("def handler(event, context): return 'kept'", "app.py")
        self.assertEqual(self.body(save_code=str(compiled)), "kept")
        file.write_text("this is not what runs")
        self.assertEqual(self.body(code=str(compiled)), "kept")

    def test_errors(self) -> None:
        agent = self.agent()
        empty = self.folder / "empty"
        empty.mkdir()
        answer = agent.load(empty, mode="http")
        self.assertIn("no package function", answer["error"]["message"])
        self.assertFalse(agent.load(self.folder / "missing.py", mode="http")["ok"])
        self.file("import missing_module\n", "app.py")
        answer = agent.load(self.folder, mode="http")["error"]
        self.assertEqual((answer["type"], answer["line"]), ("ModuleNotFoundError", 1))
        self.assertEqual(answer["file"], str(self.folder / "app.py"))
        self.assertFalse(agent.load(self.folder, mode="http", target="nowhere")["ok"])
        answer = self.ask(agent).result
        self.assertIn("no function is loaded", answer["error"]["message"])
        self.file(HANDLER.format("handler"), "app.py")
        self.assertTrue(agent.load(self.folder, mode="http")["ok"])

    def test_requests_for_other_modes(self) -> None:
        agent = self.loaded(HANDLER.format("handler"))
        error = self.ask(agent).result["error"]
        self.assertIn("was not loaded for HTTP", error["message"])
        self.assertTrue(agent.invoke(1)["ok"])
