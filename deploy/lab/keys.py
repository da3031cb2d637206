"""Keys and certificates of a lab: made for it, in its state folder, gone with it."""

from __future__ import annotations

from pathlib import Path

from deploy.lab import shell
from deploy.lab.model import DOMAIN, Lab, Places

_DAYS = "365"


def ssh_key(where: Places) -> Path:
    """The key by which this machine reaches the hosts."""
    return _key(where.state / "ssh_key", f"hepspark {where.name}")


def host_key(where: Places, host: str) -> Path:
    """The key by which a host proves who it is."""
    folder = where.state / "hosts"
    folder.mkdir(exist_ok=True)
    return _key(folder / f"{host}_key", f"{host}.{DOMAIN}")


def _key(path: Path, comment: str) -> Path:
    public = path.with_suffix(".pub")
    if not public.exists():
        # The public half is written last: without it, what is there is a rest of an interrupted run.
        path.unlink(missing_ok=True)
        shell.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
    return path


def known_hosts(where: Places, lab: Lab) -> Path:
    """The file that lets ssh refuse any other host under these names and addresses."""
    path = where.state / "known_hosts"
    lines = []
    for host in lab.hosts:
        kind, key = host_key(where, host.name).with_suffix(".pub").read_text().split()[:2]
        lines.append(f"{host.name},{host.name}.{DOMAIN},{host.address} {kind} {key}\n")
    new = path.with_suffix(".new")
    new.write_text("".join(lines))
    new.replace(path)
    return path


def certificates(where: Places, address: str) -> None:
    """Makes the lab's certificate authority and the certificate of the mirror, for its name and its address."""
    ca, key = where.state / "ca.crt", where.state / "ca.key"
    if not ca.exists():
        _openssl(
            ca, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", _DAYS,
            "-subj", f"/CN=hepspark {where.name} CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", str(key),
        )  # fmt: skip
    name = f"mirror.{DOMAIN}"
    certificate = where.state / "mirror.crt"
    if not certificate.exists():
        _openssl(
            certificate, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
            "-days", _DAYS, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:{address}",
            "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth",
            "-CA", str(ca), "-CAkey", str(key), "-keyout", str(where.state / "mirror.key"),
        )  # fmt: skip


def _openssl(output: Path, *arguments: str) -> None:
    new = output.with_suffix(".new")
    shell.run(["openssl", *arguments, "-out", str(new)])
    new.replace(output)
