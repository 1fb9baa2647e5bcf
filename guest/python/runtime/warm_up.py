"""Run a few times in every new USF: touches what small functions touch."""

import json


def handler(event, context):
    result = {"sum": sum(event["numbers"])}
    if event["more"]:
        text = json.dumps(event)
        result |= {"size": len(text), "again": json.loads(text)}
    return result
