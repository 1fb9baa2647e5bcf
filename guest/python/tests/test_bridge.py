"""Code that knows only http.client, inside an agent whose process cannot open a socket itself."""

from __future__ import annotations

import importlib.util
import unittest

from tests.harness import AgentProcess, AgentTest
from tests.web import WebServer

_SOURCE = """
    import http.client, io, json, urllib.error, urllib.parse, urllib.request

    def urllib_get(url):
        with urllib.request.urlopen(url + "/json", timeout=60) as r:
            return [r.status, json.load(r), r.headers["Content-Type"], r.headers["Content-Length"]]

    def urllib_https(url):
        r = urllib.request.urlopen("https://secure.test/echo", data=b"x=1")
        return json.load(r)["headers"]["x-scheme"]

    def urllib_large(url):
        return len(urllib.request.urlopen(url + "/bytes/1000192").read())

    def urllib_post(url):
        request = urllib.request.Request(url, data=b"a" * 100_000, headers={"X-Y": "z"})
        answer = json.load(urllib.request.urlopen(request))
        return [answer["size"], answer["headers"]["x-y"], answer["headers"]["content-length"]]

    def urllib_chunked(url):
        request = urllib.request.Request(url, data=iter([b"ab", b"c" * 70_000, b""]), method="PUT")
        answer = json.load(urllib.request.urlopen(request))
        return [answer["method"], answer["size"]]

    def urllib_redirect(url):
        r = urllib.request.urlopen(url + "/redirect")
        return [json.load(r), r.url.endswith("/json")]

    def urllib_errors(url):
        result = []
        for target in (url + "/status/404", "http://error-3.test/", "http://error-5.test/"):
            try:
                urllib.request.urlopen(target)
            except urllib.error.HTTPError as error:
                result.append([error.code, error.read().decode()])
            except urllib.error.URLError as error:
                result.append(type(error.reason).__name__)
            except TimeoutError as error:
                result.append(type(error).__name__)
        return result

    def plain(url):
        parts = urllib.parse.urlsplit(url)
        c = http.client.HTTPConnection(parts.hostname, parts.port)
        sizes = []
        for _ in range(2):
            c.request("GET", "/bytes/512")
            sizes.append(len(c.getresponse().read()))
        c.request("HEAD", "/bytes/512")
        r = c.getresponse()
        sizes += [r.headers["Content-Length"], len(r.read())]
        c.request("POST", "/", body=io.BytesIO(b"f" * 20_000), headers={"Content-Length": "20000"})
        return sizes + [json.load(c.getresponse())["size"]]

    def expect(url):
        parts = urllib.parse.urlsplit(url)
        c = http.client.HTTPConnection(parts.hostname, parts.port)
        c.putrequest("PUT", "/")
        c.putheader("Content-Length", "3")
        c.putheader("Expect", "100-continue")
        c.endheaders()
        first = c.sock.makefile("rb", 0).readline()
        c.send(b"abc")
        return [first.decode().strip(), json.load(c.getresponse())["size"]]

    def stream(url):
        r = urllib.request.urlopen(url + "/endless")
        return [r.readline().decode() for _ in range(3)]

    def with_requests(url):
        import requests
        s = requests.Session()
        answer = s.post(url, json={"a": 1}, timeout=60).json()
        text = s.get(url + "/redirect").text
        lines = s.get(url + "/lines/3", stream=True).iter_lines()
        try:
            s.get("http://error-3.test/")
        except requests.ConnectionError:
            return [answer["body"], text, len(list(lines)), s.get("https://secure.test/json").json()]

    def handler(event, context):
        return globals()[event["do"]](event["url"])
    """


class BridgeTest(AgentTest):
    web: WebServer

    def setUp(self) -> None:
        super().setUp()
        self.web = WebServer()
        self.addCleanup(self.web.close)
        self.process: AgentProcess = self.agent(
            hosts={"secure.test": self.web.port, "web.test": self.web.port}
        )
        self.assertTrue(self.process.load(self.file(_SOURCE))["ok"])

    def do(self, name: str) -> object:
        answer = self.process.invoke({"do": name, "url": f"http://web.test:{self.web.port}"})
        self.assertTrue(answer["ok"], answer.get("error", {}).get("traceback"))
        return answer["value"]

    def test_urllib(self) -> None:
        self.assertEqual(self.do("urllib_get"), [200, {"a": 1}, "application/json", "8"])
        self.assertEqual(self.do("urllib_https"), "https")
        self.assertEqual(self.do("urllib_large"), 1000192)
        self.assertEqual(self.do("urllib_post"), [100_000, "z", "100000"])
        self.assertEqual(self.do("urllib_chunked"), ["PUT", 70_002])
        self.assertEqual(self.do("urllib_redirect"), [{"a": 1}, True])
        errors = [[404, "as you asked"], "ConnectError", "Timeout"]
        self.assertEqual(self.do("urllib_errors"), errors)

    def test_http_client(self) -> None:
        self.assertEqual(self.do("plain"), [512, 512, "512", 0, 20_000])
        self.assertEqual(self.do("expect"), ["HTTP/1.1 100 Continue", 3])
        self.assertEqual(self.do("stream"), ["tick\n"] * 3)

    @unittest.skipUnless(importlib.util.find_spec("requests"), "requests is not installed")
    def test_requests(self) -> None:
        self.assertEqual(self.do("with_requests"), ['{"a": 1}', '{"a": 1}', 4, {"a": 1}])


class FullAgentTest(AgentTest):
    def test_whole_list_of_imports(self) -> None:
        agent = self.agent(full=True)
        self.assertEqual(agent.errors(), "")
        source = "import sys\ndef handler():\n    return 'sqlite3' in sys.modules"
        self.assertTrue(agent.load(self.file(source))["ok"])
        self.assertTrue(agent.invoke()["value"])
