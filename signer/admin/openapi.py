"""The OpenAPI document of the intake API: served at /intake/v1/openapi.json and kept as docs/intake-openapi.json.

`python -m signer.admin.openapi` prints it.
"""

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from signer.ledger.values import ALLOWED_REASONS, REASON_NAMES, Outcome

__all__ = ["document"]

SERIAL = {
    "type": "string",
    "pattern": "^[0-9a-fA-F]{1,40}$",
    "description": "Serial number in hexadecimal: at most 20 octets.",
    "examples": ["2f00a1"],
}
TIME = {
    "type": "string",
    "format": "date-time",
    "description": "RFC 3339 with its zone.",
    "examples": ["2026-11-21T10:00:00Z"],
}
REASON = {
    "description": "CRLReason by name or number (RFC 5280 section 5.3.1, BR 7.2.2). Default: unspecified.",
    "anyOf": [
        {"type": "string", "enum": [REASON_NAMES[number] for number in sorted(ALLOWED_REASONS)]},
        {"type": "integer", "enum": sorted(ALLOWED_REASONS)},
        {"type": "null"},
    ],
}


def _object(properties: dict[str, Any], required: list[str], text: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": text,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


def _schemas() -> dict[str, Any]:
    fields = {
        "serial": SERIAL,
        "not_after": TIME,
        "not_before": {**_or_null(TIME), "description": "When it was issued; looked at and not kept."},
        "crl_url": {"type": ["string", "null"], "description": "Its CRL distribution point."},
        "status": {"type": ["string", "null"], "enum": ["good", "revoked", "expired", None]},
        "revoked_at": {**_or_null(TIME), "description": "Since when it is revoked; absent: it is not."},
        "reason": REASON,
    }
    state = {
        "serial": {**SERIAL, "pattern": "^([0-9a-f]{2}){1,20}$"},
        "status": {"type": "string", "enum": ["good", "revoked", "expired", "reserved"]},
        "not_after": _or_null(TIME),
        "revoked_at": _or_null(TIME),
        "reason": {"type": ["integer", "null"], "enum": [*sorted(ALLOWED_REASONS), None]},
        "crl_url": {"type": "string", "description": "The CRL that its revocation is in: kept for ever."},
        "ocsp_url": {"type": ["string", "null"], "description": "`ocsp.url` of the configuration."},
        "notes": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What had to be changed to be allowed, or is against the rules.",
        },
    }
    problem = {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "Which field, and why."},
        "remedy": {"type": "string", "description": "What to do."},
        "lines": {"type": "integer", "description": "Lines of a batch that were carried out before."},
        "outcomes": {"type": "object", "additionalProperties": {"type": "integer"}},
        "summary": {
            "type": "object",
            "description": "What revocations that were not expected would come to: numbers of certificates.",
            "properties": {
                "issuer": {"type": "string"},
                "named": {"type": "integer", "description": "Different serials; what `expect` has to be."},
                **{one.value: {"type": "integer"} for one in Outcome},
                "reasons": {"type": "object", "additionalProperties": {"type": "integer"}},
            },
            "required": ["issuer", "named", *(one.value for one in Outcome), "reasons"],
            "additionalProperties": False,
        },
    }
    return {
        "Fields": _object(fields, ["serial", "not_after"], "A certificate or precertificate by its fields."),
        "Encoded": _object(
            {"certificate": {"type": "string", "description": "PEM, or the base64 of DER."}},
            ["certificate"],
            "The certificate or precertificate itself. It must be signed by the issuer.",
        ),
        "Reservation": _object(
            {"serial": SERIAL}, ["serial"], "A serial that a certificate is going to have."
        ),
        "Revocation": _object(
            {
                "serial": SERIAL,
                "reason": REASON,
                "date": {**_or_null(TIME), "description": "Since when, not in the future. Default: now."},
            },
            ["serial"],
            "A certificate to revoke for ever.",
        ),
        "Certificate": _object(
            state, [name for name in state if name != "notes"], "What holds of a serial now."
        ),
        "Problem": _object(problem, ["type", "title", "status", "detail"], "RFC 9457."),
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _problems(*codes: int) -> dict[str, Any]:
    texts = {
        400: "The body or line says nothing certain.",
        401: "The caller is not known.",
        403: "The API is off.",
        404: "No such issuer, or no certificate with that serial.",
        405: "No such method.",
        408: "The body did not come.",
        409: "It contradicts what is recorded of the serial, or `expect` is not the number of certificates named.",
        413: "Too long. Lines of a batch before that were carried out.",
        415: "That Content-Type is not taken.",
        422: "More than 100 certificates to revoke and no `expect`.",
        503: "The ledger cannot be had, or too much is under way: come again, sent twice is no harm.",
    }
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {str(code): {"description": texts[code], "content": content} for code in codes}


def _operation(
    name: str,
    summary: str,
    bodies: dict[str, Any],
    *,
    parameters: Sequence[Any] = (),
    problems: Sequence[int] = (),
) -> dict[str, Any]:
    batch = {
        "schema": {
            "type": "string",
            "description": "One object a line. Each line is carried out by itself; a line of the answer for each, "
            "and a last one with counts.",
        }
    }
    answer = {
        "description": "Durable in the ledger. The same again has the same answer.",
        "content": {
            "application/json": {"schema": _ref("Certificate")},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [_ISSUER, *parameters],
        "requestBody": {"required": True, "content": {**bodies, "application/x-ndjson": batch}},
        "responses": {"200": answer, **_problems(400, 401, 403, 404, 408, 409, 413, 415, *problems, 503)},
    }


_ISSUER = {
    "name": "issuer",
    "in": "path",
    "required": True,
    "description": "`name` of an [[issuer]] in ocsp.toml.",
    "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,62}$"},
}


_EXPECT = {
    "name": "expect",
    "in": "query",
    "description": "How many certificates are to be revoked: different serials. Needed above 100; nothing is revoked "
    "if there are more or fewer.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
}


def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    raw = {"schema": {"type": "string", "format": "binary"}}
    certificate = {
        "application/json": {"schema": {"oneOf": [_ref("Fields"), _ref("Encoded")]}},
        "application/pkix-cert": raw,
        "application/x-pem-file": raw,
    }
    serial = {"name": "serial", "in": "path", "required": True, "schema": SERIAL}
    find = {
        "operationId": "find",
        "summary": "What holds of a serial.",
        "parameters": [_ISSUER, serial],
        "responses": {
            "200": {
                "description": "Issued or reserved.",
                "content": {"application/json": {"schema": _ref("Certificate")}},
            },
            **_problems(400, 401, 403, 404, 503),
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ocspeed intake API",
            "version": "1",
            "description": "By which a CA records, reserves and revokes certificates. See docs/intake.md.",
        },
        "servers": [{"url": "http://127.0.0.1:9561"}],
        "security": [{"token": []}],
        "paths": {
            "/intake/v1/{issuer}/certificates": {
                "post": _operation("issue", "Record a certificate or precertificate.", certificate)
            },
            "/intake/v1/{issuer}/certificates/{serial}": {"get": find},
            "/intake/v1/{issuer}/reservations": {
                "post": _operation(
                    "reserve",
                    "Choose a certificate's CRL before it is signed.",
                    {"application/json": {"schema": _ref("Reservation")}},
                )
            },
            "/intake/v1/{issuer}/revocations": {
                "post": _operation(
                    "revoke",
                    "Revoke a certificate for ever.",
                    {"application/json": {"schema": _ref("Revocation")}},
                    parameters=[_EXPECT],
                    problems=[422],
                )
            },
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document()), indent=2).decode() + "\n")
