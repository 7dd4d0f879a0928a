"""push and pull: a store on one side, a registry on the other. Synchronous (callers on an event loop use a thread).

Loopback registries are spoken to in plain HTTP, as Docker does; others over HTTPS. ``mirrors`` (``registries.json`` in $HALAB_HOME) names
further places to pull from: ``{"127.0.0.1:5000": ["127.0.0.1:5001"]}`` asks the second when the first does not answer.
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from halab.errors import ImageError
from halab.images import oci
from halab.images.image import Image
from halab.images.reference import Reference
from halab.images.store import ImageStore

Told = Callable[[str], None]

SECONDS = 20.0
_ACCEPT = ", ".join((oci.MANIFEST, oci.DOCKER_MANIFEST, oci.INDEX, oci.DOCKER_INDEX))
_LIMIT = 4 * 1024 * 1024


class Unreachable(ImageError):
    """The registry did not answer at all: a mirror may."""


def is_local(registry: str) -> bool:
    """Whether a registry's name is a loopback address (or localhost)."""
    host = registry.rpartition(":")[0] or registry
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One connection to a registry, kept open between requests."""

    def __init__(self, registry: str) -> None:
        self.registry = registry
        host = "registry-1.docker.io" if registry == "docker.io" else registry
        kind = http.client.HTTPConnection if is_local(registry) else http.client.HTTPSConnection
        self.base = f"{'http' if is_local(registry) else 'https'}://{host}"
        self.connection = kind(host, timeout=SECONDS)

    def close(self) -> None:
        self.connection.close()

    def request(self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        with self.open(method, url, body, headers) as answer:
            data = answer.read(_LIMIT)
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, data)

    @contextmanager
    def open(
        self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        parts = urlsplit(urljoin(self.base, url))
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            self.connection.request(method, target, body, headers or {})
            answer = self.connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            hint = (
                "start it: halab image registry start"
                if is_local(self.registry)
                else "without a network, build the image or load it from a file"
            )
            raise Unreachable(f"registry {self.registry}", f"does not answer: {error}", hint) from None
        try:
            yield answer
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise Unreachable(f"registry {self.registry}", f"the connection broke: {error}", "try again") from None
        finally:
            if not answer.closed:
                answer.read(_LIMIT)
            if not answer.isclosed():
                self.connection.close()

    def fail(self, subject: str, answer: Answer) -> ImageError:
        """What the registry said, in its own words."""
        try:
            first = json.loads(answer.body)["errors"][0]
            text = f"{first['code']}: {first['message']}"
        except (ValueError, KeyError, IndexError, TypeError):
            text = f"HTTP {answer.status}"
        hint = "this registry asks for a login, which is not supported" if answer.status in (401, 403) else ""
        return ImageError(subject, text, hint)


def push(store: ImageStore, reference: str, tell: Told) -> str:
    """Send an image to the registry in its name; returns the manifest's digest there. Blobs that the registry has are not sent again."""
    parsed = Reference.parse(reference)
    image = store.resolve(reference)
    if not parsed.tag:
        raise ImageError(f"image {reference}", "has no tag to push it under", "tag it first: halab image tag")
    connection = Connection(parsed.registry)
    name = f"/v2/{parsed.repository}"
    tell(f"The push refers to repository [{parsed.full_name}]")
    try:
        for descriptor in [*image.manifest["layers"], image.manifest["config"]]:
            digest = descriptor["digest"]
            short = oci.hex_of(digest)[:12]
            if connection.request("HEAD", f"{name}/blobs/{digest}").status == 200:
                tell(f"{short}: Layer already exists")
                continue
            begun = connection.request("POST", f"{name}/blobs/uploads/")
            if begun.status != 202:
                raise connection.fail(f"push {parsed}", begun)
            location = begun.headers["location"]
            with store.blobs.path(digest).open("rb") as source:
                url = f"{location}{'&' if '?' in location else '?'}digest={digest}"
                sent = connection.request(
                    "PUT", url, source, {"content-length": str(descriptor["size"]), "content-type": "application/octet-stream"}
                )
            if sent.status != 201:
                raise connection.fail(f"push {parsed}: blob {short}", sent)
            tell(f"{short}: Pushed")
        data = store.blobs.read(image.digest)
        kind = image.manifest.get("mediaType", oci.MANIFEST)
        done = connection.request("PUT", f"{name}/manifests/{parsed.tag}", data, {"content-type": kind})
        if done.status != 201:
            raise connection.fail(f"push {parsed}", done)
    finally:
        connection.close()
    tell(f"{parsed.tag}: digest: {image.digest} size: {len(data)}")
    return image.digest


def mirrors(home: Path, registry: str) -> list[str]:
    """The registry itself, then its mirrors from ``registries.json``. Raises ImageError when that file is malformed."""
    path = home / "registries.json"
    try:
        table = json.loads(path.read_text())
        return [registry, *map(str, table.get(registry, []))]
    except FileNotFoundError:
        return [registry]
    except (ValueError, AttributeError):
        raise ImageError(str(path), "is not a JSON object of lists", '{"127.0.0.1:5000": ["127.0.0.1:5001"]}') from None


def pull(store: ImageStore, reference: str, tell: Told, *, home: Path | None = None) -> Image:
    """Fetch an image into the store and give it its name. Tries the registry's mirrors when it does not answer or has not the image.

    Raises ImageError, in which every place that was asked is named.
    """
    parsed = Reference.parse(reference)
    errors: list[ImageError] = []
    for registry in mirrors(home or store.root.parent, parsed.registry):
        connection = Connection(registry)
        try:
            digest = _fetch(store, connection, parsed, tell)
            name = parsed.familiar if parsed.tag else ""
            if name:
                store.tag(digest, name)
            else:
                store.keep(digest)
            tell(f"Digest: {digest}")
            tell(f"Status: Downloaded {parsed.familiar} from {registry}")
            return store.load(digest, parsed)
        except ImageError as error:
            errors.append(error)
        except (KeyError, TypeError, ValueError) as error:
            errors.append(ImageError(f"pull {parsed}", f"{registry} sent a manifest that cannot be read ({error!r})"))
        finally:
            connection.close()
    if len(errors) == 1:
        raise errors[0]
    raise ImageError(f"pull {parsed}", "; ".join(f"{error.subject}: {error.fact}" for error in errors), errors[0].remedy)


def _fetch(store: ImageStore, connection: Connection, parsed: Reference, tell: Told) -> str:
    name = f"/v2/{parsed.repository}"
    digest = parsed.digest or parsed.tag
    tell(f"{parsed.tag or digest[:19]}: Pulling from {parsed.repository} at {connection.registry}")
    manifest, found = _manifest(store, connection, f"{name}/manifests/{digest}", parsed)
    for descriptor in [manifest["config"], *manifest["layers"]]:
        blob = descriptor["digest"]
        short = oci.hex_of(blob)[:12]
        if store.blobs.has(blob):
            tell(f"{short}: Already exists")
            continue
        with connection.open("GET", f"{name}/blobs/{blob}") as answer:
            if answer.status != 200:
                raise connection.fail(f"pull {parsed}: blob {short}", Answer(answer.status, {}, answer.read(_LIMIT)))
            store.blobs.receive(answer, blob)
        tell(f"{short}: Pull complete")
    return found


def _manifest(store: ImageStore, connection: Connection, url: str, parsed: Reference) -> tuple[dict[str, Any], str]:
    answer = connection.request("GET", url, headers={"accept": _ACCEPT})
    if answer.status != 200:
        raise connection.fail(f"pull {parsed}", answer)
    digest = "sha256:" + hashlib.sha256(answer.body).hexdigest()
    if parsed.digest and "manifests/sha256:" in url and url.rpartition("/")[2] != digest:
        raise ImageError(f"pull {parsed}", f"the registry sent a manifest with digest {digest}", "do not trust it")
    document: dict[str, Any] = json.loads(answer.body)
    if "manifests" in document:
        for item in document["manifests"]:
            platform = item.get("platform") or {}
            if platform.get("os") == "linux" and platform.get("architecture") == oci.architecture():
                return _manifest(store, connection, f"{url.rpartition('/')[0]}/{item['digest']}", parsed)
        raise ImageError(f"pull {parsed}", f"no matching manifest for linux/{oci.architecture()} in the manifest list entries")
    store.blobs.write(answer.body)
    return document, digest
