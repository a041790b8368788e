"""What the sub-commands of `ocsp-signer` do; `signer.cli` declares them and imports these when they run."""
