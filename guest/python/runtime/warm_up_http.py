"""Rehearsed before the snapshot: the ways of an HTTP request to a handler and to an application."""


def handler(event, context):
    return {"sum": sum(event["numbers"])}


def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
