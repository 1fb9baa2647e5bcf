"""Numbers and layouts of vmm/abi/mail.h and ring.h; the tests compare them with the headers."""

from struct import Struct

RECORD = Struct("<IHHQ")  # RecordHeader: size, type, flags, id
REQUEST = Struct("<IIIIQQQII")  # HttpRequest
HEAD = Struct("<IIIIIIQQ")  # HttpHead
SPAN = Struct("<QQ")  # HttpSpan: offset, size
END = Struct("<II")  # HttpEnd: error, message_size
ENTRY = Struct("<II")  # HostRegionEntry: entry, reserved
BODY_END_RECORD = Struct("<II")  # BodyEnd: broken, reserved
BODY_TAKEN_RECORD = Struct("<II")  # BodyTaken: bytes, reserved

HEADER_SIZE = RECORD.size
MAX_RECORD = 32 << 10

# RecordType
LOAD = 1
INVOKE = 2
STOP = 3
HTTP_HEAD = 4
HTTP_DATA = 5
HTTP_END = 6
BODY_DATA = 11
BODY_END = 12
READY = 16
LOADED = 17
RESULT = 18
HTTP_REQUEST = 19
RELEASE = 21
ANSWER_HEAD = 25
ANSWER_DATA = 26
BODY_TAKEN = 29

# BodyKind
BODY_NONE = 0
BODY_INLINE = 1
BODY_STREAM = 3
BODY_FILE = 4

# HttpFlag
FLAG_STREAM = 1
FLAG_NO_REDIRECT = 2
FLAG_MAY_STREAM = 4

NO_ENTRY = 0xFFFF_FFFF
UNKNOWN_SIZE = 0xFFFF_FFFF_FFFF_FFFF

# What the agent keeps below the limit of a record, so that headers and URL fit beside it.
MAX_INLINE_BODY = 16 << 10
MAX_JSON = 24 << 10
MAX_PIECE = 24 << 10  # bytes of a streamed answer in one record
# One write of a streamed body: the kernel copies it into the guest region and waits for the host.
STREAM_PIECE = 128 << 10


def record(kind: int, number: int, payload: bytes = b"") -> bytes:
    """One whole record, as a single write hands it to the kernel."""
    return RECORD.pack(HEADER_SIZE + len(payload), kind, 0, number) + payload
