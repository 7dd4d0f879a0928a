"""The specification of a sandbox in the launcher's and the shim's form."""

from __future__ import annotations

from halab.sandbox import DEFAULT_CAPABILITIES, Dns, SandboxSpec, User, capability_mask
from halab.sandbox.spec import records, settings_text, standard_files


def test_capabilities_are_bits_by_name() -> None:
    assert capability_mask(["CHOWN"]) == 1
    assert capability_mask(["CAP_NET_BIND_SERVICE", "nonsense"]) == 1 << 10
    assert capability_mask(["all"]).bit_length() == 41
    assert DEFAULT_CAPABILITIES == 0xA80425FB  # what containerd gives, as /proc/1/status of a container shows it


def test_records_are_separated_by_nul_and_cannot_be_broken() -> None:
    assert records([("arg", "a b\n"), ("env", "X=1\x002")]) == b"arg\0a b\n\0env\0X=12\0"


def test_the_files_of_a_pod_follow_from_its_names() -> None:
    spec = SandboxSpec(["x"], hostname="p", address="127.1.1.2", dns=Dns("127.1.128.10", ("a", "b")), host_names=("p.full",))
    files = standard_files(spec)
    assert files["/etc/hostname"] == "p\n"
    assert files["/etc/hosts"].endswith("127.1.1.2\tp.full p\n")
    assert files["/etc/resolv.conf"] == "search a b\nnameserver 127.1.128.10\noptions ndots:5\n"


def test_own_files_win() -> None:
    assert standard_files(SandboxSpec(["x"], hostname="p", files={"/etc/hostname": "q\n"}))["/etc/hostname"] == "q\n"


def test_the_shim_is_told_address_shift_and_identity() -> None:
    spec = SandboxSpec(["x"], address="127.1.1.2", local="127.1.65.2", port_shift=20000, user=User(7, 8, (3, 9)))
    text = settings_text(spec, fake_root=True)
    assert text == ("address 127.1.1.2\nlocal 127.1.65.2\nshift 20000\nfakeroot 1\nuid 7\ngid 8\ngroup 3\ngroup 8\ngroup 9\n")
    assert "fakeroot" not in settings_text(spec, fake_root=False)
