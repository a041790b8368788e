# A cache before ocsp-responder. docs/proxies.md has the reasons.
vcl 4.1;

backend responder {
    .host = "127.0.0.1";
    .port = "2560";
    .connect_timeout = 2s;
    .first_byte_timeout = 10s;
    .between_bytes_timeout = 10s;
}

acl operators {
    "127.0.0.1";
    "::1";
}

sub vcl_recv {
    set req.url = regsub(req.url, "\?.*$", "");
    if (req.method == "PURGE" && client.ip ~ operators) {
        return (purge);
    }
    # Varnish pipes methods that it does not know: two readings of one connection.
    if (req.method != "GET" && req.method != "HEAD" && req.method != "POST") {
        return (synth(405));
    }
    # These have no say in an answer, as the query above.
    unset req.http.Cookie;
    unset req.http.Authorization;
    unset req.http.Range;
    if (req.method == "POST") {
        return (pass);
    }
    return (hash);
}

sub vcl_hash {
    # Spellings of one request share an entry, and a PURGE of one takes all of them. Neither host nor query counts.
    hash_data(regsuball(regsuball(regsuball(req.url, "%2[Ff]", "/"), "%2[Bb]", "+"), "%3[Dd]", "="));
    return (lookup);
}

sub vcl_backend_response {
    set beresp.grace = 0s;  # the answers say must-revalidate
    set beresp.keep = 1h;  # but an old one may be asked about by its ETag
}

sub vcl_synth {
    if (resp.status == 405) {
        set resp.http.Allow = "GET, HEAD, POST";
    }
}

sub vcl_deliver {
    unset resp.http.Accept-Ranges;
}
