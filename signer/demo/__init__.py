"""`ocsp-signer demo`: a whole CA on one machine, from index.txt to verified answers."""
