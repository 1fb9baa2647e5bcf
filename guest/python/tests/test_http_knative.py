"""Knative func's conventions, health, and the end of a function."""

from __future__ import annotations

import textwrap

from tests.web_case import WebTest

STOP = 3


class ContextTest(WebTest):
    def test_request(self) -> None:
        source = """
            def main(context):
                request = context.request
                if request.method == "POST":
                    if request.is_json:
                        return request.json, 201
                    return {"form": request.form, "size": len(request.get_data())}
                return [request.args, request.headers["x-a"], request.url, context.cloud_event]
            """
        agent = self.web(source)
        reply = self.ask(agent, "GET", "/p?a=1", None, {"x-a": "b", "host": "h"})
        self.assertEqual(reply.json, [{"a": "1"}, "b", "http://h/p?a=1", None])
        json = {"content-type": "application/json"}
        reply = self.ask(agent, "POST", "/", "[1]", json)
        self.assertEqual((reply.status, reply.json), (201, [1]))
        self.assertEqual(self.ask(agent, "POST", "/", "[", json).status, 400)
        form = {"content-type": "application/x-www-form-urlencoded"}
        reply = self.ask(agent, "POST", "/", "a=%26&b=", form)
        self.assertEqual(reply.json, {"form": {"a": "&", "b": ""}, "size": 8})

    def test_cloud_event(self) -> None:
        agent = self.web("async def main(context): return context.cloud_event['data']")
        headers = {f"ce-{name}": "1" for name in ("id", "source", "type")}
        headers |= {"ce-specversion": "1.0", "content-type": "text/plain"}
        self.assertEqual(self.ask(agent, "POST", "/", "hello", headers).body, b"hello")

    def test_json_of_other_types(self) -> None:
        source = """
            def main(context):
                request = context.request
                return [request.get_json(silent=True), request.get_json(force=True)]
            """
        self.assertEqual(self.ask(self.web(source), "POST", "/", "1").json, [None, 1])
        agent = self.web("def main(context): return context.request.get_json()")
        self.assertEqual(self.ask(agent, "POST", "/", "1").status, 415)

    def test_main_with_an_event(self) -> None:
        agent = self.web("def main(event): return event")
        self.assertEqual(self.ask(agent, "GET", "/?a=1").json, {"a": "1"})


class InstanceTest(WebTest):
    SOURCE = """
        import os
        def new():
            return Function()
        class Function:
            def __init__(self): self.healthy = True
            {async_}def start(self, cfg): self.name = cfg["NAME"]
            {async_}def stop(self): print("stopped", self.name)
            {async_}def alive(self): return self.healthy, "how it is"
            {async_}def ready(self): return self.healthy
            async def handle(self, scope, receive, send):
                assert scope["type"] == "http"
                self.healthy = scope["path"] != "/sick"
                await send({{"type": "http.response.start", "status": 200}})
                await send({{"type": "http.response.body", "body": self.name.encode()}})
        """

    def test_life(self) -> None:
        for async_ in ("", "async "):
            agent = self.web(self.SOURCE.format(async_=async_), env={"NAME": "one"})
            self.assertEqual(self.ask(agent).body, b"one")
            reply = self.ask(agent, "GET", "/health/liveness")
            self.assertEqual((reply.status, reply.body), (200, b"how it is"))
            self.assertEqual(self.ask(agent, "GET", "/health/readiness").body, b"OK")
            self.ask(agent, "GET", "/sick")
            self.assertEqual(self.ask(agent, "GET", "/health/liveness").status, 500)
            self.assertEqual(self.ask(agent, "GET", "/health/readiness").status, 500)
            agent.send(STOP)
            self.assertEqual(agent.process.wait(30), 0)
            self.assertEqual((agent.output(), agent.errors()), ("stopped one\n", ""))

    def test_module_level(self) -> None:
        source = """
            async def handle(scope, receive, send):
                await send({"type": "http.response.start", "status": 200})
                await send({"type": "http.response.body", "body": scope["path"].encode()})
            """
        agent = self.web(source)
        # No lifespan: func's middleware keeps that to itself. No hooks: health is any path.
        self.assertEqual(self.ask(agent, "GET", "/health/liveness").body, b"/health/liveness")
        self.assertEqual(agent.errors(), "")
        agent = self.web(textwrap.dedent(source) + "def ready(): 1 / 0\n")
        self.assertFalse(self.ask(agent, "GET", "/health/readiness").result["ok"])

    def test_what_new_may_not_do(self) -> None:
        self.assertIn("no handle", self.load_error("def new(): return 1"))
        self.assertIn("by zero", self.load_error("def new(): 1 / 0"))
        starting = """
            class Function:
                def handle(self, event): return event
                def start(self, cfg): raise RuntimeError("no database")
            def new(): return Function()
            """
        self.assertEqual(self.load_error(starting), "no database")

    def test_plain_handle(self) -> None:
        source = """
            class Function:
                def handle(self, event): return event
            def new(): return Function()
            """
        self.assertEqual(self.ask(self.web(source), "GET", "/?a=1").json, {"a": "1"})


class StopTest(WebTest):
    def stop(self, source: str) -> tuple[int, str, str]:
        agent = self.web(source)
        agent.send(STOP)
        status = agent.process.wait(30)
        return status, agent.output(), agent.errors()

    def test_order(self) -> None:
        source = """
            import atexit, signal, sys, threading
            release = threading.Event()
            def late():
                release.wait()
                print("thread")
            threading.Thread(target=late).start()
            atexit.register(print, "exit handler")
            signal.signal(signal.SIGTERM, lambda number, frame: print("signal", number))
            async def stop(): print("stop"); release.set()
            def handler(event, context): pass
            """
        self.assertEqual(self.stop(source), (0, "signal 15\nstop\nthread\nexit handler\n", ""))

    def test_exit_status_of_the_signal_handler(self) -> None:
        source = """
            import signal, sys
            signal.signal(signal.SIGTERM, lambda *_: sys.exit({}))
            def stop(): print("stop")
            def handler(event, context): pass
            """
        self.assertEqual(self.stop(source.format(0)), (0, "stop\n", ""))
        self.assertEqual(self.stop(source.format(3)), (3, "stop\n", ""))

    def test_files_left_open_are_complete(self) -> None:
        source = """
            log = open("log", "w")
            def handler(event, context): pass
            def stop(): log.write("stopped")
            """
        self.assertEqual(self.stop(source), (0, "", ""))
        self.assertEqual((self.folder / "log").read_text(), "stopped")

    def test_failing_hook(self) -> None:
        source = """
            import atexit
            atexit.register(print, "exit handler")
            def stop(): 1 / 0
            def handler(event, context): pass
            """
        status, output, errors = self.stop(source)
        self.assertEqual((status, output), (1, "exit handler\n"))
        self.assertIn("ZeroDivisionError", errors)

    def test_without_a_function(self) -> None:
        agent = self.agent()
        agent.send(STOP)
        self.assertEqual(agent.process.wait(30), 0)

    def test_hooks_of_an_application_are_its_own(self) -> None:
        source = """
            def stop(): print("a view, not a hook")
            def alive(): return False
            def app(environ, start_response):
                start_response("200 OK", [])
                return [environ["PATH_INFO"].encode()]
            """
        agent = self.web(source)
        self.assertEqual(self.ask(agent, "GET", "/health/liveness").body, b"/health/liveness")
        agent.send(STOP)
        self.assertEqual((agent.process.wait(30), agent.output()), (0, ""))
