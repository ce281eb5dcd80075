"""The common script: Flask, requests and PyJWT, for gunicorn."""

from __future__ import annotations

from typing import Any

import requests
from flask import Flask, Response, jsonify, request
from requests.adapters import HTTPAdapter

from tests.bench.peers import common

app = Flask(__name__)
connections = HTTPAdapter(pool_maxsize=64)
"""Connections to Authentik, which all checks share."""


@app.post("/oauth/token")
def token() -> tuple[Response, int]:
    """Answer a password grant."""
    username, password = request.form["username"], request.form["password"]
    session = requests.Session()
    session.headers.update(common.HEADERS)
    session.mount("http://", connections)
    session.get(common.FLOW).json()
    name = {"component": "ak-stage-identification", "uid_field": username}
    challenge = session.post(common.FLOW, json=name).json()
    if challenge["component"] == "ak-stage-password":
        challenge = session.post(
            common.FLOW, json={"component": "ak-stage-password", "password": password}
        ).json()
    if challenge["component"] != "xak-flow-redirect":
        return jsonify(error="invalid_grant"), 400
    if "access" in common.EXTRAS and not session.get(common.ACCESS).json()["passing"]:
        return jsonify(error="access_denied"), 400
    claims: dict[str, Any] = common.typed(username)
    if "user" in common.EXTRAS:
        claims = common.claims_of(session.get(common.USER).json()["user"])
    response = jsonify(common.token_response(claims, request.form.get("scope", "")))
    if "removal" in common.EXTRAS:
        response.call_on_close(lambda: session.get(common.REMOVAL))
    return response, 200
