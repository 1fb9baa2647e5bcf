"""Counts the words of a text. Event: {"source": URL, "top": how many to return}"""

import re
from collections import Counter

import usetl

_WORD = re.compile(r"[^\W\d_]+")


def handler(event, context):
    text = usetl.get(event["source"]).raise_for_status().text
    words = Counter(_WORD.findall(text.lower()))
    # Ties in alphabetical order, so that the answer depends on nothing but the text.
    top = sorted(words.items(), key=lambda item: (-item[1], item[0]))[: event.get("top", 10)]
    return {"words": words.total(), "distinct": len(words), "top": dict(top)}
