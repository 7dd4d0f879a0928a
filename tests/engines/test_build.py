"""The embedded builder with real sandboxes; no network, no Docker."""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from halab.errors import ImageError
from halab.images import Image, ImageStore
from halab.images.api import ContainerSpec, Port
from halab.images.build.builder import Request, build
from halab.images.build.events import Event
from halab.images.embedded import EmbeddedEngine

ARTICLE = """FROM ubuntu:18.04

RUN apt-get update && apt-get install -y nginx

EXPOSE 80

CMD ["nginx", "-g", "daemon off;"]
"""


class Workshop:
    """A store and a build context, and what the last build told."""

    def __init__(self, home: Path, context: Path) -> None:
        self.store, self.context = ImageStore(home / "images"), context
        self.events: list[Event] = []
        context.mkdir()

    async def build(self, dockerfile: str, tag: str = "app:1", **options: object) -> Image:
        (self.context / "Dockerfile").write_text(dockerfile)
        self.events = []
        request = Request(self.context, tags=(tag,), **options)  # type: ignore[arg-type]
        return await build(self.store, request, self.events.append)

    @property
    def output(self) -> str:
        return "\n".join(event.text for event in self.events if event.kind == "output")

    @property
    def cached(self) -> list[int]:
        step, found = 0, []
        for event in self.events:
            step = event.step or step
            if event.kind == "cached":
                found.append(step)
        return found

    def leftovers(self) -> list[Path]:
        return list(self.store.blobs.temporary.iterdir())


@pytest.fixture
def shop(halab_home: Path, tmp_path: Path) -> Workshop:
    return Workshop(halab_home, tmp_path / "context")


def read(image: Image, path: str) -> str:
    return next((layer / path).read_text() for layer in image.layers if (layer / path).exists())


@pytest.mark.needs("nginx")
async def test_the_articles_dockerfile_builds_and_its_rebuild_comes_from_the_cache(shop: Workshop) -> None:
    first = await shop.build(ARTICLE, "my-nginx:1.0")
    assert "Setting up nginx" in shop.output
    assert first.command == ["nginx", "-g", "daemon off;"]
    assert first.config["ExposedPorts"] == {"80/tcp": {}}
    assert "nginx" in first.borrows
    assert (first.layers[0] / "usr/sbin/nginx").exists()
    assert not any(path.endswith("/nginx") for path in first.hides)
    again = await shop.build(ARTICLE, "my-nginx:1.0")
    assert shop.cached == [2, 3, 4]
    assert again.digest == first.digest
    assert shop.leftovers() == []


async def test_a_changed_file_makes_its_step_and_all_after_it_run_again(shop: Workshop) -> None:
    (shop.context / "a.txt").write_text("one")
    dockerfile = "FROM debian:12-slim\nRUN echo first > /first\nCOPY a.txt /\nRUN cat /a.txt > /b.txt\n"
    await shop.build(dockerfile)
    (shop.context / "a.txt").touch()
    await shop.build(dockerfile)
    assert shop.cached == [2, 3, 4], "a file's time does not count"
    (shop.context / "a.txt").write_text("two")
    image = await shop.build(dockerfile)
    assert shop.cached == [2]
    assert read(image, "b.txt") == "two"
    await shop.build(dockerfile, cache=False)
    assert shop.cached == []


async def test_build_arguments_reach_run_and_count_for_the_cache(shop: Workshop) -> None:
    dockerfile = "ARG TAG=12-slim\nFROM debian:$TAG\nARG COLOUR=red\nENV SEEN=${COLOUR}\nRUN echo $COLOUR $SEEN > /colour\n"
    assert read(await shop.build(dockerfile), "colour") == "red red\n"
    image = await shop.build(dockerfile, arguments={"COLOUR": "blue"})
    assert read(image, "colour") == "blue blue\n"
    assert image.environment["SEEN"] == "blue"
    assert "COLOUR" not in image.environment
    await shop.build(dockerfile, arguments={"TYPO": "x"})
    assert any(event.kind == "warning" and "TYPO" in event.text for event in shop.events)


async def test_a_multi_stage_build_keeps_only_what_was_copied(shop: Workshop) -> None:
    dockerfile = """FROM debian:12 AS build
WORKDIR /src
RUN echo 'compiled' > app && echo secret > notes
FROM debian:12 AS unused
RUN exit 9
FROM busybox:1.36
COPY --from=build --chown=1000:1000 /src/app /bin/app
COPY --from=build /src/ /tmp/src/
USER 1000:1000
ENTRYPOINT ["cat", "/bin/app"]
"""
    image = await shop.build(dockerfile)
    assert image.entrypoint == ["cat", "/bin/app"]
    assert image.command == [], "an ENTRYPOINT drops the base image's CMD"
    assert image.user == "1000:1000"
    assert any((layer / "usr/bin/app").exists() or (layer / "bin/app").exists() for layer in image.layers)
    assert not any((layer / "src").exists() for layer in image.layers)
    assert all("exit 9" not in event.text for event in shop.events)


async def test_deleted_files_are_gone_from_the_image(shop: Workshop) -> None:
    image = await shop.build(
        "FROM busybox:1.36\nRUN mkdir /d && echo x > /d/a && echo y > /d/b\nRUN rm /d/a\nRUN ls /d > /listing\n"
    )
    assert read(image, "listing") == "b\n"


async def test_copy_places_files_as_docker_does(shop: Workshop) -> None:
    (shop.context / "dir" / "sub").mkdir(parents=True)
    (shop.context / "dir" / "sub" / "f.txt").write_text("f")
    (shop.context / "one.txt").write_text("1")
    (shop.context / "two.txt").write_text("2")
    (shop.context / "skip.log").write_text("no")
    (shop.context / ".dockerignore").write_text("*.log\n")
    dockerfile = """FROM busybox:1.36
WORKDIR /app
COPY one.txt renamed
COPY *.txt texts/
COPY dir /copied
COPY --chmod=750 one.txt /tmp
COPY . /all/
COPY <<EOF /note
value of A: ${A:-none}
EOF
RUN find /app /copied /all /tmp /note -type f | sort > /listing; stat -c %a /tmp/one.txt > /mode
"""
    image = await shop.build(dockerfile)
    listing = read(image, "listing").split()
    assert {"/app/renamed", "/app/texts/one.txt", "/app/texts/two.txt", "/copied/sub/f.txt", "/tmp/one.txt", "/note"} <= set(
        listing
    )
    assert "/all/skip.log" not in listing
    assert "/all/dir/sub/f.txt" in listing
    assert read(image, "mode") == "750\n"


async def test_metadata_instructions_reach_the_configuration(shop: Workshop) -> None:
    image = await shop.build("""FROM busybox:1.36
LABEL a=1 b="two words"
EXPOSE 8080 53/udp 90-91
VOLUME ["/data"]
STOPSIGNAL SIGQUIT
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=1m30s --timeout=2s --retries=5 CMD wget -qO- http://localhost/ || exit 1
ONBUILD RUN echo triggered > /triggered
CMD echo hello
""")
    config = image.config
    assert (config["Labels"]["a"], config["Labels"]["b"]) == ("1", "two words")
    assert sorted(config["ExposedPorts"]) == ["53/udp", "8080/tcp", "90/tcp", "91/tcp"]
    assert config["Healthcheck"] == {
        "Test": ["CMD-SHELL", "wget -qO- http://localhost/ || exit 1"],
        "Interval": 90 * 10**9,
        "Timeout": 2 * 10**9,
        "Retries": 5,
    }
    assert image.command == ["/bin/sh", "-ec", "echo hello"]
    child = await shop.build("FROM app:1\n", "child:1")
    assert read(child, "triggered") == "triggered\n"
    assert "OnBuild" not in child.config


async def test_users_made_in_a_build_can_be_used(shop: Workshop) -> None:
    image = await shop.build(
        "FROM debian:12-slim\nRUN useradd --uid 1234 --no-create-home app\nCOPY --chown=app Dockerfile /f\nUSER app\nRUN id -u > /tmp/id\n"
    )
    assert read(image, "tmp/id") == "1234\n"


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        ("FROM busybox:1.36\nRUN exit 7\n", r"Dockerfile:2: RUN: The command '/bin/sh -c exit 7' returned a non-zero code: 7"),
        ("FROM busybox:1.36\nRUN no-such-program\n", "non-zero code: 127; 127 says that a program was not found"),
        (
            "FROM busybox:1.36\nCOPY nope /\n",
            "Dockerfile:2: COPY nope: file not found in build context or excluded by .dockerignore",
        ),
        ("FROM busybox:1.36\nCOPY Dockerfile Dockerfile /x\n", "is the destination of more than one source; end it with a /"),
        ("FROM busybox:1.36\nUSER nobody-here\nRUN true\n", "Dockerfile:3: unable to find user nobody-here"),
        ("FROM busybox:1.36\nEXPOSE http\n", "Dockerfile:2: EXPOSE: Invalid containerPort: http"),
        ("FROM no-such-image:9\n", "Dockerfile:1: FROM no-such-image:9: not found; this machine can provide"),
        ("FROM ubuntu:18.04\nRUN apt-get install -y nginx\n", "non-zero code: 100"),
        ("FROM ubuntu:18.04\nRUN apt-get update && apt-get install -y no-such-package-at-all\n", "non-zero code: 100"),
        ("FROM ubuntu:18.04\nRUN nginx -v\n", "non-zero code: 127"),
    ],
)
async def test_a_failing_build_names_the_place_and_leaves_nothing(shop: Workshop, dockerfile: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        await shop.build(dockerfile)
    assert shop.leftovers() == []
    assert not shop.store.contains("app:1")


async def test_apt_refuses_a_version_that_the_machine_does_not_have(shop: Workshop) -> None:
    with pytest.raises(ImageError):
        await shop.build("FROM ubuntu:18.04\nRUN apt-get update && apt-get install -y nginx=0.1\n")
    assert "E: Version '0.1' for 'nginx' was not found" in shop.output


async def test_run_mounts_give_caches_secrets_and_files_of_the_context(shop: Workshop, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cret")
    (shop.context / "data.txt").write_text("bound")
    dockerfile = """FROM debian:12-slim
RUN --mount=type=cache,target=/var/cache/x --mount=type=secret,id=token --mount=type=bind,source=data.txt,target=/in.txt \\
    cat /run/secrets/token /in.txt > /got; echo more >> /var/cache/x/count; wc -l < /var/cache/x/count >> /got
"""
    image = await shop.build(dockerfile, secrets={"token": secret})
    assert read(image, "got") == "s3cretbound1\n"
    image = await shop.build(dockerfile, secrets={"token": secret}, cache=False)
    assert read(image, "got") == "s3cretbound2\n"
    assert not any((layer / "run/secrets/token").exists() or (layer / "in.txt").exists() for layer in image.layers[:1])


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("mode", ["userns", "none"])
def test_the_articles_dockerfile_builds_at_every_level_of_isolation(halab_home: Path, tmp_path: Path, mode: str) -> None:
    (tmp_path / "Dockerfile").write_text(ARTICLE)
    command = [sys.executable, "-m", "halab.cli", "image", "build", "--json", "-t", "my-nginx:1.0", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"HALAB_SANDBOX": mode})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["names"] == ["my-nginx:1.0"]
    image = ImageStore(halab_home / "images").resolve("my-nginx:1.0")
    assert (image.layers[0] / "usr/sbin/nginx").exists()


GOOD = """ARG NGINX=1.27-alpine
FROM busybox:1.36 AS site
WORKDIR /site
COPY index.html .
ARG VERSION=1.0
RUN sed -i "s/@VERSION@/${VERSION}/" index.html

FROM nginx:${NGINX}
COPY <<'EOF' /etc/nginx/nginx.conf
pid /tmp/nginx.pid;
error_log /dev/stderr warn;
events {}
http {
    include /etc/nginx/mime.types;
    access_log /dev/stdout;
    client_body_temp_path /tmp/client; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fcgi; uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server { listen 8080; root /usr/share/nginx/html; }
}
EOF
COPY --from=site --chown=nginx:nginx /site /usr/share/nginx/html
USER nginx
EXPOSE 8080
HEALTHCHECK --interval=200ms --timeout=2s CMD wget -qO- http://127.0.0.1:8080/ || curl -fs http://127.0.0.1:8080/
CMD ["nginx", "-g", "daemon off;"]
"""


def healthy(engine: EmbeddedEngine, container: str) -> None:
    until = time.monotonic() + 20
    while engine.container(container).health != "healthy":
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.needs("nginx", "busybox", "curl")
async def test_a_better_dockerfile_pinned_small_and_not_root(shop: Workshop, halab_home: Path) -> None:
    (shop.context / "index.html").write_text("version @VERSION@\n")
    image = await shop.build(GOOD, "my-nginx:1.1", arguments={"VERSION": "1.1"})
    assert (image.user, sorted(image.config["ExposedPorts"])) == ("nginx", ["80/tcp", "8080/tcp"])
    engine = EmbeddedEngine(halab_home)
    row = engine.run(ContainerSpec("my-nginx:1.1", ports=(Port.parse("0:8080"),)))
    try:
        await asyncio.to_thread(healthy, engine, row.id)
        address = row.ports[0].partition("->")[0]
        answer = await asyncio.to_thread(urllib.request.urlopen, f"http://{address}/")
        assert answer.read() == b"version 1.1\n"
    finally:
        engine.remove_container(row.id, force=True)
