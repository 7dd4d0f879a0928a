import pytest

from halab.errors import ImageError
from halab.images.reference import Reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "familiar", "full"),
    [
        ("nginx", "nginx:latest", "docker.io/library/nginx:latest"),
        ("nginx:1.22", "nginx:1.22", "docker.io/library/nginx:1.22"),
        ("docker.io/library/nginx:1.22", "nginx:1.22", "docker.io/library/nginx:1.22"),
        ("team/app", "team/app:latest", "docker.io/team/app:latest"),
        ("localhost/app:1", "localhost/app:1", "localhost/app:1"),
        ("127.0.0.1:5000/team/app:1.0", "127.0.0.1:5000/team/app:1.0", "127.0.0.1:5000/team/app:1.0"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        (f"nginx@{DIGEST}", f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
        (f"nginx:1@{DIGEST}", f"nginx:1@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}"),
    ],
)
def test_a_reference_has_a_familiar_and_a_full_form(text: str, familiar: str, full: str) -> None:
    reference = Reference.parse(text)
    assert (reference.familiar, str(reference)) == (familiar, full)


@pytest.mark.parametrize("text", ["", "Nginx", "nginx:", "nginx:-1", "a//b", "nginx@sha256:12", "-x", "a b", "x/../y"])
def test_what_no_registry_could_hold_is_refused(text: str) -> None:
    with pytest.raises(ImageError, match="invalid reference format"):
        Reference.parse(text)


def test_upper_case_is_explained() -> None:
    with pytest.raises(ImageError, match="must be lowercase"):
        Reference.parse("My-Nginx:1.0")
