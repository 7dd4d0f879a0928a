"""Service account tokens: JSON Web Tokens (ES256) bound to an account, and where asked to a pod, secret or node.

The claims are Kubernetes' (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/), so that a client in a pod
finds what it expects. A token dies with what it is bound to, whatever its expiry says.
"""

from __future__ import annotations

import base64
import binascii
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

Obj = dict[str, Any]
ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIENCES = (ISSUER,)
KEY_BYTES = 32  # of each half of a P-256 signature
REMEMBERED = 512  # verified tokens that are not verified again
YEAR = 365 * 24 * 3600


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


@dataclass(frozen=True, slots=True)
class Bound:
    """What a token is bound to beside its account: kind (Pod, Secret, Node), name and uid; a pod's node too."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    node: tuple[str, str] | None = None


class Tokens:
    """Signs and verifies with the cluster's service account key (PEM, EC P-256)."""

    def __init__(self, key_file: Path) -> None:
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_file} is no EC key")
        self._key = key
        self._public = key.public_key()
        der = self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(der)
        self.key_id = _encode(digest.finalize()).decode()
        self._header = _encode(orjson.dumps({"alg": "ES256", "kid": self.key_id}))
        self._verified: OrderedDict[bytes, Obj] = OrderedDict()

    def issue(self, account: Obj, seconds: int, audiences: list[str], bound: Bound, warn_after: int = 0) -> str:
        """A token for a ServiceAccount object that is good for ``seconds``."""
        now = int(time.time())
        meta = account["metadata"]
        private: Obj = {"namespace": meta["namespace"]}
        if bound.kind:
            private[bound.kind.lower()] = {"name": bound.name, "uid": bound.uid}
        if bound.node is not None:
            private["node"] = {"name": bound.node[0], "uid": bound.node[1]}
        private["serviceaccount"] = {"name": meta["name"], "uid": meta["uid"]}
        if warn_after:
            private["warnafter"] = now + warn_after
        claims = {
            "aud": audiences or list(AUDIENCES),
            "exp": now + seconds,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": now,
            "sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}",
        }
        signed = self._header + b"." + _encode(orjson.dumps(claims))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return (signed + b"." + _encode(r.to_bytes(KEY_BYTES, "big") + s.to_bytes(KEY_BYTES, "big"))).decode()

    def verify(self, token: bytes) -> Obj | None:
        """The claims of a token that this cluster signed and that is not expired; else None."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._check(token)
            if claims is None:
                return None
            self._verified[token] = claims
            if len(self._verified) > REMEMBERED:
                self._verified.popitem(last=False)
        now = time.time()
        if not claims["nbf"] - 10 <= now < claims["exp"]:
            return None
        return claims

    def _check(self, token: bytes) -> Obj | None:
        signed, _, signature = token.rpartition(b".")
        if signed.count(b".") != 1:
            return None
        try:
            raw = _decode(signature)
            if len(raw) != 2 * KEY_BYTES:
                return None
            der = encode_dss_signature(int.from_bytes(raw[:KEY_BYTES], "big"), int.from_bytes(raw[KEY_BYTES:], "big"))
            header = orjson.loads(_decode(signed.partition(b".")[0]))
            if header.get("alg") != "ES256":
                return None
            self._public.verify(der, signed, ec.ECDSA(hashes.SHA256()))
            claims: Obj = orjson.loads(_decode(signed.partition(b".")[2]))
        except (InvalidSignature, ValueError, binascii.Error, AttributeError):
            return None
        return claims if claims.get("iss") == ISSUER else None

    def public_jwk(self) -> Obj:
        """The public key as ``/openid/v1/jwks`` lists it."""
        numbers = self._public.public_numbers()
        x, y = (_encode(number.to_bytes(KEY_BYTES, "big")).decode() for number in (numbers.x, numbers.y))
        return {"use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256", "x": x, "y": y}
