"""An asyncio proxy: aiohttp on both sides, on uvloop."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any

import aiohttp
import uvloop
from aiohttp import web

from tests.bench.peers import common

CONNECTOR = web.AppKey("connector", aiohttp.TCPConnector)
REMOVALS = web.AppKey("removals", set)


async def token(request: web.Request) -> web.Response:
    """Answer a password grant."""
    form = await request.post()
    username, password = str(form["username"]), str(form["password"])
    session = aiohttp.ClientSession(
        connector=request.app[CONNECTOR],
        connector_owner=False,
        cookie_jar=aiohttp.CookieJar(unsafe=True),
        headers=common.HEADERS,
    )
    await read(session.get(common.FLOW))
    name = {"component": "ak-stage-identification", "uid_field": username}
    challenge = await read(session.post(common.FLOW, json=name))
    if challenge["component"] == "ak-stage-password":
        body = {"component": "ak-stage-password", "password": password}
        challenge = await read(session.post(common.FLOW, json=body))
    if challenge["component"] != "xak-flow-redirect":
        return web.json_response({"error": "invalid_grant"}, status=400)
    if "access" in common.EXTRAS and not (await read(session.get(common.ACCESS)))["passing"]:
        return web.json_response({"error": "access_denied"}, status=400)
    claims = common.typed(username)
    if "user" in common.EXTRAS:
        claims = common.claims_of((await read(session.get(common.USER)))["user"])
    if "removal" in common.EXTRAS:
        removals = request.app[REMOVALS]
        removal = asyncio.create_task(read(session.get(common.REMOVAL)))
        removals.add(removal)
        removal.add_done_callback(removals.discard)
    return web.json_response(common.token_response(claims, str(form.get("scope", ""))))


async def read(responding: Any) -> Any:
    """Return the JSON of a response."""
    async with responding as response:
        return await response.json()


async def make_app() -> web.Application:
    """Return the application, with connections to Authentik that all checks share."""
    app = web.Application()
    app[CONNECTOR] = aiohttp.TCPConnector(limit=0)
    app[REMOVALS] = set()
    app.router.add_post("/oauth/token", token)
    return app


def main() -> None:
    """Serve."""
    context = None
    if "BENCH_CERTIFICATE" in os.environ:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(
            os.environ["BENCH_CERTIFICATE"], os.environ["BENCH_CERTIFICATE_KEY"]
        )
    web.run_app(
        make_app(),
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        ssl_context=context,
        access_log=None,
        backlog=4096,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
