"""Greets whoever asks, over HTTP."""


def handler(event, context):
    print("asked by", event.get("name", "nobody"))
    return {"hello": event.get("name", "world")}
