"""Bodies in pieces, in both directions."""

from __future__ import annotations

import itertools

import usetl
from tests.client_case import ClientTest
from usetl import _abi


class StreamTest(ClientTest):
    def test_chunks(self) -> None:
        response = usetl.get(self.web.url + "/bytes/200704", stream=True)
        self.assertEqual(self.proxy.seen[-1].flags, _abi.FLAG_STREAM)
        self.assertTrue(response.streamed)
        chunks = list(response.iter_chunks(1000))
        self.assertLessEqual(max(map(len, chunks)), 1000)
        self.assertEqual(b"".join(chunks), bytes(range(256)) * 784)
        with self.assertRaises(usetl.UsetlError):
            next(response.iter_chunks())
        self.assertEqual(self.released(), [])

    def test_lines_across_pieces(self) -> None:
        lines = list(usetl.get(self.web.url + "/lines/20000", stream=True).iter_lines())
        self.assertEqual(len(lines), 20_001)
        self.assertEqual(lines[12_345], "line 12345")

    def test_whole_body_of_a_stream(self) -> None:
        response = usetl.get(self.web.url + "/json", stream=True)
        self.assertEqual((response.json(), response.json()), ({"a": 1}, {"a": 1}))
        with self.assertRaises(usetl.UsetlError):
            response.path

    def test_more_than_the_region_holds(self) -> None:
        self.proxy.room = 100_000
        self.assertFalse(usetl.get(self.web.url + "/bytes/65536").streamed)
        response = usetl.get(self.web.url + "/bytes/200704")
        self.assertEqual(self.proxy.seen[-1].flags, _abi.FLAG_MAY_STREAM)
        self.assertTrue(response.streamed)
        with self.assertRaisesRegex(usetl.UsetlError, "larger than the host region"):
            response.path
        self.assertEqual(response.body, bytes(range(256)) * 784)
        pieces = usetl.get(self.web.url + "/bytes/200704").iter_chunks()
        self.assertEqual(sum(map(len, pieces)), 200_704)

    def test_half_a_body(self) -> None:
        response = usetl.get(self.web.url + "/half", stream=True)
        with self.assertRaisesRegex(usetl.ProtocolError, "half"):
            response.body

    def test_closing_cancels(self) -> None:
        with usetl.get(self.web.url + "/endless", stream=True) as response:
            self.assertEqual(next(response.iter_lines()), "tick")
        self.assertTrue(self.proxy.cancelled.wait(10))

    def test_forgetting_cancels(self) -> None:
        lines = usetl.get(self.web.url + "/endless", stream=True).iter_lines()
        self.assertEqual(list(itertools.islice(lines, 3)), ["tick"] * 3)
        del lines
        self.assertTrue(self.proxy.cancelled.wait(10))

    def test_failing_source(self) -> None:
        def pieces():
            yield b"x"
            raise KeyError("source")

        self.proxy.bodies = ""  # it answers when this test is over
        with self.assertRaises(KeyError):
            usetl.post(self.web.url, pieces())

    def test_stream_from_stream(self) -> None:
        source = usetl.get(self.web.url + "/bytes/262144", stream=True)
        answer = usetl.post(self.web.url, source.iter_chunks()).json()
        self.assertEqual(
            (answer["size"], answer["headers"]["transfer-encoding"]), (262144, "chunked")
        )
