"""Clients and servers that others wrote, against our responder on loopback."""
