"""What every function finds imported: after the snapshot an import of these costs a dict lookup.

Chosen by what data functions and their libraries import, and above all everything that would load
an extension module: a dlopen changes page tables, which nothing on a hot path should. Pages of the
snapshot that stay unwritten are shared by all USFs, so a long list costs bake time (about 0.2 s),
not memory per USF. Left out: what cannot work in one process without a terminal (curses, readline,
multiprocessing's pools), servers, GUI, and development tools.
"""

from __future__ import annotations

import importlib

_MODULES = """
abc array ast base64 binascii bisect calendar codecs collections contextlib contextvars copy csv
dataclasses datetime decimal enum errno fnmatch fractions functools gc glob hashlib heapq hmac html
html.parser inspect io ipaddress itertools json keyword linecache locale logging math mimetypes mmap
numbers operator os pathlib pickle platform pprint queue quopri random re resource secrets select
selectors shlex shutil signal socket sqlite3 ssl stat statistics string struct subprocess tempfile
textwrap threading time timeit token tokenize traceback types typing unicodedata uuid warnings
weakref zoneinfo

bz2 gzip lzma tarfile zipfile zlib
asyncio concurrent.futures concurrent.futures.thread
argparse configparser tomllib
email.message email.mime.multipart email.mime.text email.parser email.policy email.utils
http.client http.cookiejar http.cookies urllib.error urllib.parse urllib.request urllib.response
xml.dom.minidom xml.etree.ElementTree xml.sax.saxutils
ctypes importlib.metadata importlib.resources importlib.util logging.handlers
encodings.ascii encodings.cp1252 encodings.idna encodings.latin_1 encodings.utf_16
encodings.utf_8_sig _strptime
"""


def preload() -> list[str]:
    """Imports the list; returns what this build of Python does not have."""
    missing = []
    for name in _MODULES.split():
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    return missing
