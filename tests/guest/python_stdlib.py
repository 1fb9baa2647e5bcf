"""The data side of the standard library; prints lines as the C tests do."""

import base64
import bz2
import copy
import csv
import datetime
import decimal
import fractions
import glob
import gzip
import hashlib
import hmac
import io
import json
import locale
import lzma
import math
import os
import pathlib
import pickle
import random
import re
import secrets
import shutil
import sqlite3
import statistics
import struct
import sys
import tarfile
import tempfile
import time
import uuid
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib

import check
from check import test


@test
def json_and_re():
    value = {"a": [1, 2.5, None, True, "ü\U0001f600"], "b": {"c": -(2**70)}}
    assert json.loads(json.dumps(value)) == value
    assert re.findall(r"(\w+)@(\w+)\.com", "x@y.com, öl@z.com") == [("x", "y"), ("öl", "z")]
    assert re.sub(r"\s+", " ", "a \n\t b") == "a b"


@test
def csv_round_trip():
    rows = [["a", "b,c", 'd"e'], ["1", "line\nbreak", ""]]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    assert list(csv.reader(io.StringIO(text.getvalue()))) == rows


@test
def hashes():
    assert hashlib.sha256(b"abc").hexdigest().startswith("ba7816bf8f01cfea")
    assert hashlib.md5(b"").hexdigest() == "d41d8cd98f00b204e9800998ecf8427e"
    assert hashlib.blake2b(b"x" * 100_000, digest_size=8).digest_size == 8
    assert hmac.new(b"k", b"m", "sha1").hexdigest() == hmac.digest(b"k", b"m", "sha1").hex()
    assert base64.b64decode(base64.b64encode(bytes(range(256)))) == bytes(range(256))


@test
def compression():
    data = b"".join(b"line %d\n" % (i % 100) for i in range(20_000))
    for module in (zlib, gzip, bz2, lzma):
        packed = module.compress(data)
        assert len(packed) < len(data) // 5 and module.decompress(packed) == data, module


@test
def archives():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "in.txt")
        path.write_text("content")
        with zipfile.ZipFile(folder + "/a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, "in.txt")
        assert zipfile.ZipFile(folder + "/a.zip").read("in.txt") == b"content"
        with tarfile.open(folder + "/a.tar.gz", "w:gz") as archive:
            archive.add(path, "in.txt")
        with tarfile.open(folder + "/a.tar.gz") as archive:
            assert archive.extractfile("in.txt").read() == b"content"


def use_database(database):
    with database:
        database.execute("create table t (k integer primary key, v text)")
        database.executemany("insert into t values (?, ?)", ((i, str(i)) for i in range(5000)))
    assert database.execute("select sum(k), count(distinct v) from t").fetchone() == (
        12497500,
        5000,
    )
    try:
        with database:
            database.execute("delete from t")
            raise KeyError
    except KeyError:
        pass
    assert database.execute("select count(*) from t").fetchone() == (5000,)


@test
def sqlite_in_memory():
    database = sqlite3.connect(":memory:")
    use_database(database)
    database.close()


@test
def sqlite_on_a_file():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        database = sqlite3.connect(folder + "/x.db")
        use_database(database)
        database.close()
        database = sqlite3.connect(folder + "/x.db")
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        database.close()
        assert os.listdir(folder) == ["x.db"]


@test
def temporary_files():
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write("text")
        file.flush()
        assert pathlib.Path(file.name).read_text() == "text"
    assert not os.path.exists(file.name)
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 100_000)
        assert file.seek(0, 2) == 100_000
    assert tempfile.gettempdir() == "/tmp"


@test
def paths_and_copies():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "a" / "b").mkdir(parents=True)
        (root / "a" / "b" / "f.txt").write_bytes(b"1" * 70_000)
        shutil.copytree(root / "a", root / "copy")
        assert [p.name for p in sorted((root / "copy").rglob("*"))] == ["b", "f.txt"]
        shutil.move(root / "copy" / "b" / "f.txt", root / "moved")
        assert (root / "moved").stat().st_size == 70_000
        assert glob.glob(folder + "/*") and not glob.glob(folder + "/*.none")
        assert shutil.disk_usage(folder).total > 0
        shutil.rmtree(root / "a")
        assert sorted(os.listdir(root)) == ["copy", "moved"]


@test
def randomness():
    random.seed(5)
    assert random.random() == random.Random(5).random()
    assert len({secrets.token_hex(8) for _ in range(100)}) == 100
    assert len({uuid.uuid4() for _ in range(100)}) == 100 and os.urandom(16) != os.urandom(16)
    assert random.SystemRandom().random() != random.SystemRandom().random()


@test
def numbers():
    decimal.getcontext().prec = 50
    assert str(decimal.Decimal(2).sqrt()).startswith("1.41421356237309504880168872420969807856967")
    assert fractions.Fraction("0.125") == fractions.Fraction(1, 8)
    assert math.isclose(math.exp(math.log(7.5)), 7.5) and statistics.median([3, 1, 2]) == 2
    assert pow(3, 10**6, 1_000_003) == pow(3, 10**6 % 1_000_002, 1_000_003)
    assert struct.unpack("<IhQ", struct.pack("<IhQ", 7, -3, 2**63)) == (7, -3, 2**63)


@test
def dates():
    date = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc)
    assert date.isoformat() == "2024-02-29T12:00:00+00:00" and date.timestamp() == 1709208000
    assert datetime.datetime.strptime("29 Feb 2024", "%d %b %Y").weekday() == 3
    assert datetime.datetime.now().year >= 2024 and time.strftime("%Y", time.gmtime(0)) == "1970"
    assert time.monotonic() <= time.monotonic()


@test
def objects():
    value = {"set": {1, 2}, "date": datetime.date(2024, 1, 1), "bytes": b"\0\xff", "deep": [[[]]]}
    assert pickle.loads(pickle.dumps(value)) == value == copy.deepcopy(value)
    tree = ElementTree.fromstring("<a><b c='1'>t</b></a>")
    assert (tree.find("b").get("c"), tree.find("b").text) == ("1", "t")


@test
def text():
    assert "Straße".casefold() == "strasse" and "é".encode("latin-1") == b"\xe9"
    assert "日本".encode("utf-16-le").decode("utf-16-le") == "日本"
    assert sys.getfilesystemencoding() == "utf-8" and locale.getpreferredencoding(False)


if __name__ == "__main__":
    sys.exit(check.main())
