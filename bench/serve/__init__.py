"""`make bench-serve`: what an OCSP answer costs, beside other servers, in pairs of runs interleaved in one go."""
