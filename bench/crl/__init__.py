"""What a CRL costs: ours beside cryptography's builder and `openssl ca -gencrl`."""
