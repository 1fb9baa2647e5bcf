"""A request as the event of AWS Lambda, payload format 2.0."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import unquote

from usetl._context import Context
from usetl._http.request import Request


def lambda_event(request: Request, context: Context) -> dict[str, Any]:
    """As function URLs make it: keys of what the request lacks are absent. The body is text when
    it is UTF-8, whatever its type."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in request.pairs:
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";")]
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    now = time.time()
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": context.function_name,
            "domainName": headers.get("host", ""),
            "domainPrefix": headers.get("host", "").partition(".")[0],
            "http": {
                "method": request.method,
                "path": unquote(request.path),
                "protocol": f"HTTP/{request.http_version}",
                "sourceIp": request.client[0] if request.client else "",
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": context.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if request.query:
        event["queryStringParameters"] = request.args
    if request.has_body:
        event["body"], event["isBase64Encoded"] = request.as_text()
    return event
