"""Hosts on this machine: systemd containers on a network of their own."""
