#!/bin/sh
# Installs what benchmarks hold us against: COMMAND:PACKAGE, or nginx and h2load for `make bench-serve`. Without one its
# rows are left out, and reported.
set -u
peers="${*:-nginx:nginx-light h2load:nghttp2-client}"
PATH="$PATH:/usr/sbin:/sbin"

missing() {
    for pair in $peers; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || echo "$pair"
    done
}

[ -z "$(missing)" ] && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    # Packages must not start their daemons here.
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=1; }
    apt-get update -qq
    for package in $(missing | sed 's/.*://'); do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"
    done
    [ "${made:-0}" = 1 ] && rm -f "$policy"
fi
for pair in $(missing); do
    echo "MISSING: ${pair%%:*} (package ${pair##*:}); its rows will be left out" >&2
done
exit 0
