"""The part of usetl that the samples use, on urllib: runs them under plain python3 to compare."""

import json
import urllib.request


class Response:
    def __init__(self, answer, stream):
        self.status = answer.status
        self._answer = answer
        self._body = None if stream else memoryview(answer.read())

    @property
    def body(self):
        if self._body is None:
            self._body = memoryview(self._answer.read())
        return self._body

    @property
    def text(self):
        return str(self.body, self._answer.headers.get_content_charset("utf-8"), "replace")

    def json(self):
        return json.loads(self.text)

    def iter_lines(self):
        return (line.rstrip("\r\n") for line in map(bytes.decode, self._answer))

    def raise_for_status(self):
        return self  # urllib has raised already

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._answer.close()


def get(url, stream=False):
    return Response(urllib.request.urlopen(url), stream)


def post(url, data):
    return Response(urllib.request.urlopen(urllib.request.Request(url, data=data)), False)
