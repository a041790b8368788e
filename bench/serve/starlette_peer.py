"""A peer: the responder that one would write first, of Starlette, redis-py and cryptography.

Its store has one whole answer under one key for each certificate. Run by uvicorn with uvloop and httptools.
"""

import base64
import os
from email.utils import formatdate
from urllib.parse import unquote

import redis.asyncio
from cryptography.x509 import ocsp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PREFIX = "peer:"
ERROR = b"\x30\x03\x0a\x01"
MEDIA_TYPE = "application/ocsp-response"

store = redis.asyncio.Redis.from_url(os.environ["PEER_STORE"]) if "PEER_STORE" in os.environ else None


async def answer(request: Request) -> Response:
    """GET of RFC 6960 appendix A.1."""
    path = request.scope["raw_path"].decode().removeprefix("/")
    try:
        question = ocsp.load_der_ocsp_request(base64.b64decode(unquote(path)))
    except ValueError:
        return Response(ERROR + b"\x01", media_type=MEDIA_TYPE)
    assert store is not None
    body = await store.get(f"{PREFIX}{question.serial_number:x}")
    if not isinstance(body, bytes):
        return Response(ERROR + b"\x06", media_type=MEDIA_TYPE)
    return Response(body, headers=_headers(ocsp.load_der_ocsp_response(body)), media_type=MEDIA_TYPE)


def _headers(response: ocsp.OCSPResponse) -> dict[str, str]:
    """The fields of RFC 9919 section 7.2."""
    assert response.next_update_utc is not None
    return {
        "Last-Modified": formatdate(response.produced_at_utc.timestamp(), usegmt=True),
        "ETag": f'"{response.signature.hex()[:64]}"',
        "Expires": formatdate(response.next_update_utc.timestamp(), usegmt=True),
        "Cache-Control": "max-age=3600, public, no-transform, must-revalidate",
    }


app = Starlette(routes=[Route("/{path:path}", answer)])
