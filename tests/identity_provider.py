"""An identity provider for tests, a process of its own: OpenID Connect as it should be, or as it is told.

`python -m tests.identity_provider` prints its address. `POST /behave` tells it what to do otherwise; the keys
are those of `Behaviour`. It signs in whoever comes as one and the same user: never let others reach it.
`python identity_provider.py PORT ISSUER` serves it in a container: deploy/compose.oidc.yaml.
"""

import asyncio
import base64
import json
import sys
from dataclasses import dataclass, field, fields
from hashlib import sha256
from secrets import token_urlsafe
from time import time
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

CLIENT, SECRET = "scheduler", "s3cret of the client"
USER = {"sub": "248289761001", "email": "anna@example.com", "email_verified": True, "groups": ["platform"]}


@dataclass
class Behaviour:
    """What it does otherwise."""

    claims: dict[str, Any] = field(default_factory=dict)
    """Claims of the token that are others; null: is left out."""
    signed: str = "RS256"
    """`none`, `HS256` by the client's secret, `public` by HS256 and the public key, or `stranger`."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What it says of itself that is otherwise."""
    token: str = ""
    """How the token endpoint answers: `error`, `redirect`, `slow`, `endless`, `garbage`, `no token`, or
    `down`.
    """
    returned: dict[str, str] = field(default_factory=dict)
    """Parameters with which a browser comes back that are others."""
    described: str = ""
    """`down`: it does not describe itself."""
    userinfo: dict[str, Any] = field(default_factory=dict)
    """What it tells only when it is asked for the user."""
    rotate: bool = False
    """Sign by a new key from now on."""


class Provider:
    """The provider: its keys, and the codes that it gave out."""

    def __init__(self) -> None:
        self.issuer = ""
        self.keys: list[RSAKey] = [RSAKey.generate_key(2048, {"kid": "first"})]
        self.behaviour = Behaviour()
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []

    async def behave(self, request: web.Request) -> web.Response:
        """Do otherwise from now on; tells what it was asked before."""
        told = await request.json()
        assert set(told) <= {one.name for one in fields(Behaviour)}, told
        self.behaviour, asked, self.asked = Behaviour(**told), self.asked, []
        if self.behaviour.rotate:
            kid = f"key {len(self.keys)}"
            self.keys = [RSAKey.generate_key(2048, {"kid": kid}), *self.keys][:2]
        return web.json_response(asked)

    async def describe(self, _: web.Request) -> web.Response:
        self.asked.append("describe")
        if self.behaviour.described == "down":
            raise web.HTTPServiceUnavailable
        endpoints = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        document = {name: f"{self.issuer}/{path}" for name, path in endpoints.items()}
        document |= {"issuer": self.issuer, "userinfo_endpoint": f"{self.issuer}/userinfo"}
        return web.json_response(document | self.behaviour.metadata)

    async def show_keys(self, _: web.Request) -> web.Response:
        self.asked.append("keys")
        return web.json_response(KeySet([*self.keys]).as_dict())

    async def authorize(self, request: web.Request) -> web.Response:
        """Sign the user in, without a question."""
        asked = dict(request.query)
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT)
        assert asked["code_challenge_method"] == "S256"
        code = token_urlsafe(16)
        self.codes[code] = asked
        returned = {"code": code, "state": asked["state"], "iss": self.issuer, "session_state": "its own"}
        returned = {name: value for name, value in (returned | self.behaviour.returned).items() if value}
        raise web.HTTPSeeOther(f"{asked['redirect_uri']}?{urlencode(returned)}")

    async def give_token(self, request: web.Request) -> web.StreamResponse:
        self.asked.append("token")
        match self.behaviour.token:
            case "redirect":
                raise web.HTTPTemporaryRedirect("http://169.254.169.254/latest/meta-data/")
            case "slow":
                await asyncio.sleep(30)
            case "endless":
                return await _endless(request)
            case "garbage":
                return web.Response(text='{"id_token": ', content_type="application/json")
            case "down":
                raise web.HTTPServiceUnavailable
        form = {name: str(value) for name, value in (await request.post()).items()}
        asked = self.codes.pop(form["code"], None)
        if asked is None or not _proves(form["code_verifier"], asked["code_challenge"]):
            return web.json_response({"error": "invalid_grant"}, status=400)
        if not _is_client(request, form):
            return web.json_response({"error": "invalid_client"}, status=401)
        if self.behaviour.token == "error" or form["redirect_uri"] != asked["redirect_uri"]:
            return web.json_response({"error": "invalid_request", "error_description": "No"}, status=400)
        answer = {"access_token": token_urlsafe(16), "token_type": "Bearer"}
        if self.behaviour.token != "no token":
            answer["id_token"] = self._token(asked["nonce"])
        return web.json_response(answer)

    async def tell_user(self, request: web.Request) -> web.Response:
        self.asked.append("userinfo")
        assert request.headers["authorization"].startswith("Bearer ")
        return web.json_response({"sub": USER["sub"]} | self.behaviour.userinfo)

    def _token(self, nonce: str) -> str:
        now = int(time())
        claims = {"iss": self.issuer, "aud": CLIENT, "nonce": nonce, "iat": now, "exp": now + 300, **USER}
        claims = {
            name: value for name, value in (claims | self.behaviour.claims).items() if value is not None
        }
        for name in ("exp", "nbf"):
            # Relative to now.
            told = claims.get(name)
            if isinstance(told, str):
                claims[name] = now + float(told)
        key, header = self.keys[0], {"alg": "RS256", "kid": self.keys[0].kid}
        match self.behaviour.signed:
            case "none":
                parts = ({"alg": "none", "kid": key.kid}, claims)
                return ".".join(_encoded(json.dumps(part).encode()) for part in parts) + "."
            case "HS256":
                return jwt.encode(header | {"alg": "HS256"}, claims, OctKey.import_key(SECRET), ["HS256"])
            case "public":
                public = OctKey.import_key(_encoded(key.as_bytes(private=False)))
                return jwt.encode(header | {"alg": "HS256"}, claims, public, ["HS256"])
            case "stranger":
                key = RSAKey.generate_key(2048)
            case "unnamed":
                header["kid"] = "nobody's"
        return jwt.encode(header, claims, key)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _proves(verifier: str, challenge: str) -> bool:
    return _encoded(sha256(verifier.encode()).digest()) == challenge


def _is_client(request: web.Request, form: dict[str, str]) -> bool:
    """By whichever of the two ways."""
    if "client_secret" in form:
        return (form["client_id"], form["client_secret"]) == (CLIENT, SECRET)
    pair = f"{CLIENT}:{SECRET.replace(' ', '+')}"
    return request.headers.get("authorization") == f"Basic {base64.b64encode(pair.encode()).decode()}"


async def _endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    while True:
        await answer.write(b" " * 65536)


async def main(port: int = 0, issuer: str | None = None) -> None:
    """Serve on this machine until standard input ends; or to others, as that issuer, for ever."""
    provider = Provider()
    app = web.Application()
    app.router.add_post("/behave", provider.behave)
    app.router.add_get("/.well-known/openid-configuration", provider.describe)
    app.router.add_get("/keys", provider.show_keys)
    app.router.add_get("/authorize", provider.authorize)
    app.router.add_post("/token", provider.give_token)
    app.router.add_get("/userinfo", provider.tell_user)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1" if issuer is None else "0.0.0.0", port).start()
    provider.issuer = issuer or f"http://127.0.0.1:{runner.addresses[0][1]}"
    sys.stdout.write(f"{provider.issuer}\n")
    sys.stdout.flush()
    if issuer is None:
        await asyncio.to_thread(sys.stdin.read)
    else:
        await asyncio.Event().wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(*(int(sys.argv[1]), sys.argv[2]) if sys.argv[1:] else ()))
