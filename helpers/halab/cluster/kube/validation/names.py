"""Which strings are names: Kubernetes' rules for names, labels, keys, ports, addresses, and its words for what breaks them.

Each function returns the faults of a value as texts, empty if it is fine (apimachinery's ``util/validation``). Results of the
common ones are cached: the same names and labels come again and again.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_1123 = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_1123 = rf"{_LABEL_1123}(\.{_LABEL_1123})*"
_LABEL_UNDERSCORE = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_UNDERSCORE = rf"{_LABEL_UNDERSCORE}(\.{_LABEL_UNDERSCORE})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_WILDCARD = rf"\*\.{_SUBDOMAIN_1123}"
_LABEL_VALUE = f"({_QUALIFIED})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_ENV_NAME = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_HTTP_HEADER = "[-A-Za-z0-9]+"
_PERCENT = "[0-9]+%"
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

_qualified = re.compile(_QUALIFIED, re.A).fullmatch
_label_value = re.compile(_LABEL_VALUE, re.A).fullmatch
_label_1123 = re.compile(_LABEL_1123, re.A).fullmatch
_subdomain_1123 = re.compile(_SUBDOMAIN_1123, re.A).fullmatch
_subdomain_underscore = re.compile(_SUBDOMAIN_UNDERSCORE, re.A).fullmatch
_label_1035 = re.compile(_LABEL_1035, re.A).fullmatch
_wildcard = re.compile(_WILDCARD, re.A).fullmatch
_config_key = re.compile(_CONFIG_KEY, re.A).fullmatch
_http_header = re.compile(_HTTP_HEADER, re.A).fullmatch
_percent = re.compile(_PERCENT, re.A).fullmatch
_http_path = re.compile(_HTTP_PATH, re.A).fullmatch
_port_characters = re.compile("[-a-z0-9]+", re.A).fullmatch

_QUALIFIED_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    f" (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end"
    f" with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN_1123}')"
)
_SUBDOMAIN_UNDERSCORE_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end"
    f" with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN_UNDERSCORE}')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an"
    f" alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL_1123}')"
)
_LABEL_1035_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end"
    f" with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '{_LABEL_1035}')"
)
_WILDCARD_RULE = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case"
    " alphanumeric characters, '-' or '.' and end with an alphanumeric character"
    f" (e.g. '*.example.com', regex used for validation is '{_WILDCARD}')"
)
_LABEL_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with"
    f" an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_LABEL_VALUE}')"
)
_CONFIG_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    f" (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '{_CONFIG_KEY}')"
)
_HTTP_HEADER_RULE = (
    "a valid HTTP header must consist of alphanumeric characters or '-'"
    f" (e.g. 'X-Header-Name', regex used for validation is '{_HTTP_HEADER}')"
)
_PERCENT_RULE = (
    "a valid percent string must be a numeric string followed by an ending '%'"
    f" (e.g. '1%',  or '93%', regex used for validation is '{_PERCENT}')"
)
_ENV_RULE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
EMPTY = "must be non-empty"
Faults = tuple[str, ...]


def longest(length: int) -> str:
    return f"must be no more than {length} characters"


def between(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


@lru_cache(maxsize=8192)
def subdomain(value: str) -> Faults:
    """DNS-1123 subdomain: most objects' names."""
    faults = [] if _size(value) <= 253 else [longest(253)]
    if not _subdomain_1123(value):
        faults.append(_SUBDOMAIN_RULE)
    return tuple(faults)


def subdomain_with_underscore(value: str) -> Faults:
    faults = [] if _size(value) <= 253 else [longest(253)]
    if not _subdomain_underscore(value):
        faults.append(_SUBDOMAIN_UNDERSCORE_RULE)
    return tuple(faults)


@lru_cache(maxsize=4096)
def label(value: str) -> Faults:
    """DNS-1123 label: namespaces, containers, volumes."""
    faults = [] if _size(value) <= 63 else [longest(63)]
    if not _label_1123(value):
        faults.append("must not contain dots" if _subdomain_1123(value) else _LABEL_RULE)
    return tuple(faults)


@lru_cache(maxsize=1024)
def label_1035(value: str) -> Faults:
    """DNS-1035 label: services."""
    faults = [] if _size(value) <= 63 else [longest(63)]
    if not _label_1035(value):
        faults.append(_LABEL_1035_RULE)
    return tuple(faults)


def wildcard_subdomain(value: str) -> Faults:
    faults = [] if _size(value) <= 253 else [longest(253)]
    if not _wildcard(value):
        faults.append(_WILDCARD_RULE)
    return tuple(faults)


@lru_cache(maxsize=8192)
def qualified(value: str) -> Faults:
    """A name with an optional prefix: keys of labels and annotations, finalizers, resources."""
    parts = value.split("/")
    faults: list[str] = []
    if len(parts) > 2:
        return (f"a qualified name {_QUALIFIED_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",)
    if len(parts) == 2:
        if not parts[0]:
            faults.append(f"prefix part {EMPTY}")
        else:
            faults += [f"prefix part {fault}" for fault in subdomain(parts[0])]
    name = parts[-1]
    if not name:
        faults.append(f"name part {EMPTY}")
    elif _size(name) > 63:
        faults.append(f"name part {longest(63)}")
    if not _qualified(name):
        faults.append(f"name part {_QUALIFIED_RULE}")
    return tuple(faults)


@lru_cache(maxsize=8192)
def label_value(value: str) -> Faults:
    faults = [] if _size(value) <= 63 else [longest(63)]
    if not _label_value(value):
        faults.append(_LABEL_VALUE_RULE)
    return tuple(faults)


def _dots(value: str) -> Faults:
    if value == ".":
        return ("must not be '.'",)
    if value == "..":
        return ("must not be '..'",)
    return ("must not start with '..'",) if value.startswith("..") else ()


@lru_cache(maxsize=4096)
def config_key(value: str) -> Faults:
    """A key of a ConfigMap or a Secret."""
    faults = [] if _size(value) <= 253 else [longest(253)]
    if not _config_key(value):
        faults.append(_CONFIG_KEY_RULE)
    return (*faults, *_dots(value))


def env_name(value: str) -> Faults:
    """The name of an environment variable: since 1.34 any printable ASCII but ``=``."""
    if not value:
        return (f"environment variable name {EMPTY}",)
    return () if value.isascii() and value.isprintable() and "=" not in value else (_ENV_RULE,)


def port_number(value: int) -> Faults:
    return () if 1 <= value <= 65535 else (between(1, 65535),)


def port_name(value: str) -> Faults:
    """IANA service name."""
    faults = [] if _size(value) <= 15 else [longest(15)]
    if not _port_characters(value):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        faults.append("must contain at least one letter (a-z)")
    if "--" in value:
        faults.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        faults.append("must not begin or end with a hyphen")
    return tuple(faults)


def percent(value: str) -> Faults:
    return () if _percent(value) else (_PERCENT_RULE,)


def http_header(value: str) -> Faults:
    return () if _http_header(value) else (_HTTP_HEADER_RULE,)


def http_path(value: str) -> Faults:
    return () if _http_path(value) else (f"Invalid path (regex used for validation is '{_HTTP_PATH}')",)


def user_or_group(value: int) -> Faults:
    return () if 0 <= value <= 2**31 - 1 else (between(0, 2**31 - 1),)


IP_RULE = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CIDR_RULE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def without_leading_zeros(value: str) -> str:
    """IPv4 octets as Go's older parsers read them: leading zeros do not count."""
    return ".".join(part.lstrip("0") or "0" if part.isdigit() else part for part in value.split("."))


def parse_ip(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Leading zeros in IPv4 octets are allowed, as Kubernetes always did."""
    try:
        return ipaddress.ip_address(value if ":" in value else without_leading_zeros(value))
    except ValueError:
        return None


def ip(value: str) -> Faults:
    """An address in a field that predates strict checks."""
    return () if parse_ip(value) is not None else (IP_RULE,)


def cidr(value: str) -> Faults:
    address, slash, length = value.partition("/")
    parsed = parse_ip(address)
    if not slash or parsed is None or not length.isdigit() or int(length) > parsed.max_prefixlen:
        return (CIDR_RULE,)
    return ()


def trailing_dash_masked(value: str) -> str:
    """A ``generateName`` may end with a dash; what follows it makes the name whole."""
    return f"{value[:-2]}a" if len(value) > 1 and value.endswith("-") else value
