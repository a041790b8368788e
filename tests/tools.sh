#!/bin/sh
# Installs what the slow tests drive beside openssl. A tool that cannot be had is named; its tests then fail.
set -u
# Servers are not on the path of everyone.
PATH="$PATH:/usr/sbin:/sbin"
# command (or absolute path):package
tools="
redis-server:redis-server
ocsptool:gnutls-bin
certtool:gnutls-bin
gnutls-cli:gnutls-bin
ocspclnt:libnss3-tools
curl:curl
nginx:nginx
apache2:apache2
haproxy:haproxy
varnishd:varnish
softhsm2-util:softhsm2
javac:openjdk-17-jdk-headless
go:golang-go
/usr/share/gocode/src/golang.org/x/crypto/ocsp:golang-golang-x-crypto-dev
"

missing() {
    for pair in $tools; do
        case "$pair" in
        /*) [ -e "${pair%%:*}" ] ;;
        *) command -v "${pair%%:*}" >/dev/null 2>&1 ;;
        esac || echo "$pair"
    done
}

[ -z "$(missing)" ] && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    # Packages must not start their daemons here.
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=1; }
    apt-get update -qq
    # One by one: a package that this system has not must not keep the others away.
    for package in $(missing | sed 's/.*://' | sort -u); do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"
    done
    [ "${made:-0}" = 1 ] && rm -f "$policy"
fi
for pair in $(missing); do
    echo "MISSING: ${pair%%:*} (package ${pair##*:}); its slow tests will fail" >&2
done
exit 0
