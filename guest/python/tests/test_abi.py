"""The numbers of _abi.py are those of the C++ headers."""

from __future__ import annotations

import re
import unittest
from pathlib import Path

from usetl import _abi, errors

_HEADERS = Path(__file__).resolve().parents[3] / "vmm" / "abi"


def enum(text: str, name: str) -> dict[str, int]:
    body = re.search(rf"enum (?:class )?{name}\b[^{{]*{{(.*?)}};", text, re.S)
    assert body is not None
    return {key: int(value) for key, value in re.findall(r"k(\w+) = (\d+)", body[1])}


class AbiTest(unittest.TestCase):
    def setUp(self) -> None:
        self.mail = (_HEADERS / "mail.h").read_text()
        self.ring = (_HEADERS / "ring.h").read_text()

    def test_record_types(self) -> None:
        types = enum(self.mail, "RecordType")
        for name, value in {
            "Load": _abi.LOAD,
            "Invoke": _abi.INVOKE,
            "Stop": _abi.STOP,
            "HttpHead": _abi.HTTP_HEAD,
            "HttpData": _abi.HTTP_DATA,
            "HttpEnd": _abi.HTTP_END,
            "BodyData": _abi.BODY_DATA,
            "BodyEnd": _abi.BODY_END,
            "BodyTaken": _abi.BODY_TAKEN,
            "Ready": _abi.READY,
            "Loaded": _abi.LOADED,
            "Result": _abi.RESULT,
            "HttpRequest": _abi.HTTP_REQUEST,
            "Release": _abi.RELEASE,
            "AnswerHead": _abi.ANSWER_HEAD,
            "AnswerData": _abi.ANSWER_DATA,
        }.items():
            self.assertEqual(types[name], value, name)

    def test_bodies_and_flags(self) -> None:
        kinds = enum(self.mail, "BodyKind")
        mine = (_abi.BODY_NONE, _abi.BODY_INLINE, _abi.BODY_STREAM, _abi.BODY_FILE)
        self.assertEqual(tuple(kinds[k] for k in ("None", "Inline", "Stream", "File")), mine)
        flags = enum(self.mail, "HttpFlag")
        self.assertEqual(flags["HttpStream"], _abi.FLAG_STREAM)
        self.assertEqual(flags["HttpNoRedirect"], _abi.FLAG_NO_REDIRECT)
        self.assertEqual(flags["HttpMayStream"], _abi.FLAG_MAY_STREAM)

    def test_sizes(self) -> None:
        sizes = dict(
            re.findall(r"static_assert\(sizeof\((\w+)\) == (\d+)\)", self.mail + self.ring)
        )
        for name, layout in {
            "RecordHeader": _abi.RECORD,
            "HttpRequest": _abi.REQUEST,
            "HttpHead": _abi.HEAD,
            "HttpSpan": _abi.SPAN,
            "HttpEnd": _abi.END,
            "BodyEnd": _abi.BODY_END_RECORD,
            "BodyTaken": _abi.BODY_TAKEN_RECORD,
            "HostRegionEntry": _abi.ENTRY,
        }.items():
            self.assertEqual(int(sizes[name]), layout.size, name)

    def test_every_error_has_a_type(self) -> None:
        for name, code in enum(self.mail, "HttpError").items():
            if name not in ("None", "Internal"):
                self.assertIsNot(type(errors.from_code(code, "")), errors.RequestError, name)


if __name__ == "__main__":
    unittest.main()
