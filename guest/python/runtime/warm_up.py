"""Run a few times in every new USF: touches what small functions touch."""

import json


def handler(event, context):
    text = json.dumps(event)
    return {"sum": sum(event["numbers"]), "size": len(text), "again": json.loads(text)}
