#!/bin/sh
# Makes the vectors of docs/test-vectors.md anew, around a new CA whose key is thrown away.
# usage: tests/vectors/make.sh DIRECTORY    (needs openssl 3, python3)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/ocsp" "$1/http" "$1/bad"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$out/ocsp"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key.pem" \
    -subj "/CN=Vector CA" -days 3650 -set_serial 1 -out ca.pem 2>"$work/log"
# The codec knows a CA by its name and its key, so the CertID hashes are all that other requests need.
hash_of() { openssl x509 -in ca.pem -noout -ocspid | sed -n "s/.*$1 OCSP hash: //p"; }
subject=$(hash_of Subject) key=$(hash_of 'Public key')

ask() { openssl ocsp -issuer ca.pem -no_nonce -reqout "$@"; }

# The first serial for which base64 has every character that a path has trouble with.
good=$((0x5A0000))
until openssl base64 -A -in req-sha1.der 2>/dev/null | grep '+' | grep '/' | grep -q '='; do
    good=$((good + 1))
    ask req-sha1.der -serial $good
done
ask req-sha256.der -sha256 -serial $good
ask req-sha512.der -sha512 -serial $good
ask req-two-certids.der -serial $good -serial 2
ask req-two-hashes.der -sha1 -serial $good -sha256 -serial $good
ask req-serial-zero.der -serial 0
ask req-serial-20-octets.der -serial 0xF1F2F3F4F5F6F7F8F9FAFBFCFDFEFF0102030405
ask req-signed.der -serial $good -signer ca.pem -signkey "$work/key.pem"
openssl ocsp -issuer ca.pem -nonce -serial $good -reqout req-nonce-16.der

# What `openssl ocsp` does not make is described to `openssl asn1parse`: make FILE [FIELD=VALUE]...
# Fields of request.cnf that are not named get what an ordinary request has; the optional ones stay out.
make() {
    file=$1
    version='' list=SEQUENCE:list serial=INTEGER:5 extensions=''
    shift
    for pair in "$@"; do eval "${pair%%=*}='${pair#*=}'"; done
    sed -e "s/@VERSION@/$version/" -e "s/@LIST@/$list/" -e "s/@SERIAL@/$serial/" -e "s/@EXTENSIONS@/$extensions/" \
        -e "s/@NAME@/$subject/" -e "s/@KEY@/$key/" -e '/= $/d' "$here/request.cnf" >"$work/request.cnf"
    openssl asn1parse -genconf "$work/request.cnf" -noout -out "$file"
}
make req-explicit-v1.der version=EXPLICIT:0,INTEGER:0
make req-explicit-not-critical.der extensions=EXPLICIT:2,SEQUENCE:not_critical
make req-nonce-32-critical.der extensions=EXPLICIT:2,SEQUENCE:nonce
make ../bad/req-critical-unknown.der extensions=EXPLICIT:2,SEQUENCE:unknown
make ../bad/req-version-2.der version=EXPLICIT:0,INTEGER:1
make ../bad/req-empty-list.der list=SEQUENCE
make ../bad/req-serial-33-octets.der "serial=INTEGER:0x$(printf %066d 1 | tr 0 1)"

# The first two octets of req-sha1.der are tag and length; they are written again in ways DER forbids.
size=$(($(wc -c <req-sha1.der) - 2))
{ cat req-sha1.der; printf '\0'; } >../bad/req-trailing-octet.der
{ printf '\060\200'; tail -c +3 req-sha1.der; printf '\0\0'; } >../bad/req-indefinite-length.der
{ printf "\\060\\201\\$(printf %03o $size)"; tail -c +3 req-sha1.der; } >../bad/req-length-not-minimal.der

# Answers for one good certificate, one revoked in 2026 for keyCompromise, one that the index does not have.
hex=$(printf %X $good)
printf 'V\t360101000000Z\t\t%s\tunknown\t/CN=good\nR\t360101000000Z\t260203040506Z,keyCompromise\t02\tunknown\t/CN=revoked\n' \
    "$hex" >"$work/index.txt"
answer() {
    openssl ocsp -index "$work/index.txt" -CA ca.pem -rsigner ca.pem -rkey "$work/key.pem" -rmd sha256 -ndays 4 \
        -respout "$@" >"$work/log" 2>&1
}
ask "$work/revoked.der" -sha256 -serial 2
openssl ocsp -issuer ca.pem -nonce -serial 3 -reqout "$work/unknown.der"
answer resp-good.der -reqin req-sha1.der -resp_key_id -resp_no_certs
answer resp-revoked.der -reqin "$work/revoked.der" -resp_key_id
answer resp-unknown-by-name-nonce.der -reqin "$work/unknown.der"

cd ../http
openssl base64 -A -in ../ocsp/req-sha1.der >get-unescaped.txt
sed -e 's/+/%2B/g' -e 's,/,%2F,g' -e 's/=/%3D/g' get-unescaped.txt >get-percent-encoded.txt
python3 - ../ocsp/req-sha1.der post-openssl.txt <<'END'
import socket, subprocess, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    url = f"http://127.0.0.1:{server.getsockname()[1]}/ocsp"
    with subprocess.Popen(["openssl", "ocsp", "-reqin", sys.argv[1], "-url", url], stderr=subprocess.DEVNULL):
        connection = server.accept()[0]
        received = b""
        while not received.endswith(open(sys.argv[1], "rb").read()):
            received += connection.recv(65536)
        connection.close()
open(sys.argv[2], "wb").write(received)
END
