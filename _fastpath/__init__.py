"""Bytes in, values out: DER, CertID, OCSP, page records, CRLs and the OCSP part of HTTP. No I/O, no clock.

Others import `certid`, `crl`, `http`, `intake`, `ocsp`, `page`, `request`, `staged`, `template` and `errors`; `der`
is for tests and for the modules here.
"""
