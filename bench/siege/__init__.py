"""What floods, slow clients and overload do to the responder, and to those who mean well."""
