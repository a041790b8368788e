"""`ocsp-signer init`: a configuration to start from."""

from pathlib import Path

from signer.commands.output import print_text
from store.errors import UsageError

__all__ = ["EXAMPLE", "init"]

FILE_MODE = 0o640

EXAMPLE = """\
# ocsp.toml: read by ocsp-signer and ocsp-responder; each passes over what is only the other's.
# Paths are relative to this file. Durations: "90s", "15m", "4h", "7d". Sizes: "64MiB".
# OCSP__SECTION__KEY in the environment goes before a key of [section]. Lines with # show defaults and examples.
# profile = "public-tls"      # or "private": a CA that browsers need not trust; Ed25519 keys may sign too

[store]                       # signed responses; can be lost and is rebuilt from the ledger
# url = "embedded:"           # or redis://host:6379/0, rediss://, valkey://, valkeys://, unix:///path,
#                             # redis+sentinel://host:26379,host:26379/NAME
# username = "ocsp-signer"    # default: none
# password_file = "/run/secrets/store-password"

[ledger]                      # who was issued and revoked: back it up
# url = "sqlite:///ledger.db"

[objects]                     # where CRLs are published and served from
# target = "objects"          # a directory, or s3://bucket/prefix
# endpoint = "https://s3.example.net" # of an S3 store that is not AWS's
# region = "eu-central-1"
# access_key_file = "/run/secrets/s3-key-id"  # default: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
# secret_key_file = "/run/secrets/s3-secret"
# allow_http = false          # true: the endpoint may begin with http://
# [[objects.also]]            # published there as well; any number of them, with the same keys
# target = "/srv/mirror"

[state]                       # embedded store, sockets and locks of this host
# directory = ".ocspeed"

[signer]
# workers = 2                 # default: one for each core
# admin = "127.0.0.1:9561"    # /metrics, /livez, /healthz and the intake API: never public; "" for none

[intake]                      # the API by which a CA records, reserves and revokes: docs/intake.md
# tokens = "intake.tokens"    # lines of NAME TOKEN; mode 0600 or 0640. Without it and client_ca the API is off
# client_ca = "clients.pem"   # or by TLS: who has a certificate of this CA may call
# certificate = "admin.pem"   # of the listener, for TLS; needed with client_ca and on other addresses than loopback
# key = "admin.key"
# body_limit = "64MiB"        # of a batch; one certificate, and each line of a batch, has 64 KiB
# line_limit = 10000          # lines of a batch
# limit_concurrency = 64      # requests under way, then 503
# timeout = "10s"             # for each piece of a body, and for the ledger to have it

[responder]
# listen = "127.0.0.1:2560"   # plain HTTP, put a proxy or CDN before it
# admin = "127.0.0.1:9560"    # /metrics, /livez, /readyz: never public
# workers = 1                 # processes; one for each core that serves
# prefix = ""                 # "/ocsp" if the OCSP URL in the certificates has that path
# cache = "64MiB"             # answers that each worker keeps
# max_unverified = "300s"     # for which they are used while the store is gone
# max_age_cap = "1h"          # longest max-age of an answer
# floor_interval = "60s"      # between two looks for new CRLs: no serial on them is answered good
# verify = "sample"           # or "all": signatures of what comes out of the store
# strict_base64 = false       # true: refuse harmless misspellings in GET paths
# lookup_timeout_ms = 40      # for the store, then tryLater
# waiting_room = 10000        # lookups under way in each worker, then tryLater
# limit_concurrency = 4096    # connections for each worker, then 503
# target_limit = "8KiB"       # longer request targets: 414
# header_limit = "32KiB"      # longer headers: 431
# body_limit = "16KiB"        # longer bodies: 413
# keep_alive = "75s"          # between two requests
# header_timeout = "10s"      # for the header of a request, then 408
# body_timeout = "10s"        # for its body
# write_timeout = "30s"       # for a client that does not read
# access_log = false          # true: a line for each request that is HTTP, and no fast path

[[issuer]]                    # one for each CA
name = "example"              # lower-case letters, digits, `.`, `_`, `-`; never change it
certificate = "ca.pem"        # the CA's certificate
# watch = "index.txt"         # of `openssl ca`: `run` records what changes in it

[issuer.signer]               # signs OCSP responses
key = "responder.key"         # PEM: P-256, P-384, P-521, or RSA from 2048 bits; Ed25519 with profile "private"
certificate = "responder.pem" # a delegated responder's; leave it out if `key` is the CA's own
# passphrase_file = "/run/secrets/responder-passphrase"
# directory = "responders"    # instead of both: NAME.pem with NAME.key, the fit one that ends last signs
# renew_command = ["/usr/local/bin/renew-responder", "example"] # run to put a new one there; docs/operations.md
# renew_before = "14d"        # of the end of the one that signs; more than validity
# renew_every = "1h"          # at most, until there is a new one
# renew_timeout = "60s"       # then it is ended
# kind = "pkcs12"             # instead of key: a PKCS #12 file, whose certificate is the responder's
# file = "responder.p12"
# password_file = "/run/secrets/responder-password"
# kind = "pkcs11"             # or a key that stays in a PKCS #11 token: docs/operations.md, keys in a token
# module = "/usr/lib/softhsm/libsofthsm2.so" # the library that came with the token
# token = "ocsp"              # its label
# pin_file = "/run/secrets/token-pin"        # mode 0600 or 0640
# label = "responder"         # of the key; or its CKA_ID, or both
# id = "01a2"

[issuer.ocsp]
# enabled = true              # false: CRLs only; then neither [issuer.signer] nor the store is needed
# validity = "96h"            # nextUpdate = thisUpdate + validity - 1 s; more than 16 h, at most 7 d
# cycle = "24h"               # how often every response is signed anew; less than validity / 2 and validity - 16 h
# certid_hashes = ["sha1", "sha256"]
# repage_above = 256         # certificates a page, on the average, from which `run` makes more pages; 0: never
# responses = "signed"        # imported: signed elsewhere; `ocsp-signer import-signed` brings them, without [issuer.signer]
# page_bits = 12              # default: chosen at the first import, about 64 certificates a page
# url = "http://ocsp.example.com/" # as in the certificates; told to who reserves a serial

# Before the first import: `url` and `shards` must be what your certificates carry. The ledger keeps both for ever.
# `openssl x509 -noout -ext crlDistributionPoints -in CERTIFICATE` shows the URL of one.
[issuer.crl]                  # CRLs are signed by the CA itself
key = "ca.key"                # default: signer.key
# passphrase_file = "/run/secrets/ca-passphrase"
# signer = { kind = "pkcs11", module = "...", token = "ca", label = "ca", pin_file = "..." } # instead of key
url = "http://crl.example.com/crl/{issuer}/{series}-{index}.crl" # as it stands in the certificates
# shards = 1
# full_url = "http://crl.example.com/crl/{issuer}/full.crl" # a CRL of all certificates, beside the shards or alone
# ca_url = "http://crl.example.com/crl/{issuer}/ca.crl" # the CRL of the CA certificates that this CA issued
# offline = false             # true: CRLs are signed elsewhere; `ocsp-signer import-signed` brings them
# validity = "7d"             # at most 10 d
# interval = "4h"             # a new CRL at least this often
# revoked_within = "1h"       # of its record a revocation is in a CRL, however many there are

# [[issuer.crl.series]]       # more shards when the CA grows; append, and never change what is there
# url = "http://crl.example.com/crl/{issuer}/{series}-{index}.crl"
# shards = 128
# from = 2027-01-01T00:00:00Z # certificates without a better place recorded from then on
"""


def init(directory: Path) -> None:
    """Write ocsp.toml. Refuses to overwrite one."""
    path = directory / "ocsp.toml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            path.chmod(FILE_MODE)
            file.write(EXAMPLE)
    except FileExistsError:
        raise UsageError(f"{path}: is there already", remedy="edit it, or name another directory") from None
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}", remedy="name a directory of yours"
        ) from None
    print_text(f"{path} written")
    print_text(
        "next: edit [[issuer]] in it; crl.url must be the CRL URL in your certificates, to the character,"
    )
    print_text("      before the first import: that records it for ever")
    print_text(f"then: `ocsp-signer import --config {path} --issuer NAME index.txt`")
