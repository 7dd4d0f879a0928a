"""Which built-in base answers to a reference, and what all of them are, for messages and for the command line."""

from __future__ import annotations

from halab.images.bases import busybox, distro, etcd, languages, nginx
from halab.images.bases.base import Base
from halab.images.reference import Reference

BASES: tuple[Base, ...] = (busybox.BASE, nginx.BASE, *distro.BASES, *languages.BASES, etcd.BASE)


def find(reference: Reference) -> Base | None:
    """The base of that name, whether or not it answers to the tag."""
    return next((base for base in BASES if base.name == reference.familiar_name), None)


def offers() -> str:
    """``busybox (1.x), nginx (1.x), ubuntu (18.04, ...)``: those that this machine can make."""
    return ", ".join(f"{base.name} ({base.offers})" for base in BASES if not base.missing())
