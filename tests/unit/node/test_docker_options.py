"""What a pod's containers are in the engine's words."""

from pathlib import Path

from halab.cluster.node.runtime.base import ContainerSpec, PodSandbox
from halab.cluster.node.runtime.docker.container import number_of, seconds_of
from halab.cluster.node.runtime.docker.images import repository_digest
from halab.cluster.node.runtime.docker.options import container_name, container_options, sandbox_options
from halab.cluster.node.runtime.docker.usage import directories
from halab.images.reference import Reference
from halab.sandbox import Mount, User, capability_mask

POD = PodSandbox(
    uid="uid-1", hostname="web-0", address="10.7.1.2", local="", dns=None, port_shift=0, name="web-0", namespace="shop"
)


def spec(**more: object) -> ContainerSpec:
    fields = {
        "name": "main",
        "argv": ["server", "--port", "80"],
        "env": {"A": "1"},
        "cwd": "/srv",
        "user": User(101, 102, (103,)),
        "layers": (),
        "host_files": False,
        "host_paths": (),
        "mounts": [Mount(Path("/vol"), "/data", True)],
        "files": {},
        "log": Path("/log"),
        "image": "sha256:1",
    }
    return ContainerSpec(**(fields | more))  # type: ignore[arg-type]


TABLES = Path("/cluster/policies")


def test_a_sandbox_has_the_pods_address_and_name_and_may_change_its_own_network_alone() -> None:
    found = sandbox_options(POD, "halab-pod:1", "net", "gw", {"io.halab.cluster": "one"}, TABLES)
    assert found["NetworkingConfig"]["EndpointsConfig"]["net"]["IPAMConfig"] == {"IPv4Address": "10.7.1.2"}
    assert found["Hostname"] == "web-0" and found["HostConfig"]["NetworkMode"] == "net"
    assert (found["HostConfig"]["CapDrop"], found["HostConfig"]["CapAdd"]) == (["ALL"], ["NET_ADMIN"])
    assert found["Cmd"] == ["hold", "-l", "/policies/10.7.1.2"]
    assert [(mount["Source"], mount["ReadOnly"]) for mount in found["HostConfig"]["Mounts"]] == [(str(TABLES), True)]
    assert found["Labels"]["io.halab.cluster"] == "one" and found["Labels"]["io.kubernetes.pod.namespace"] == "shop"


def test_on_the_hosts_network_a_sandbox_shares_the_gateways() -> None:
    pod = PodSandbox(uid="u", hostname="n", address="10.7.0.10", local="", dns=None, port_shift=0, host_network=True)
    found = sandbox_options(pod, "halab-pod:1", "net", "gw", {}, TABLES)
    assert found["HostConfig"]["NetworkMode"] == "container:gw" and "CapAdd" not in found["HostConfig"]
    assert "Hostname" not in found and "NetworkingConfig" not in found  # the engine refuses both


def test_a_container_lives_in_the_sandbox_and_sees_its_volumes_and_files() -> None:
    found = container_options(POD, spec(), "box", {}, {"/etc/hosts": Path("/pods/hosts")})
    host = found["HostConfig"]
    assert (found["Entrypoint"], found["Cmd"], found["User"]) == (["server"], ["--port", "80"], "101:102")
    assert host["NetworkMode"] == host["IpcMode"] == "container:box" and host["PidMode"] == ""
    assert [(mount["Source"], mount["Target"], mount["ReadOnly"]) for mount in host["Mounts"]] == [
        ("/vol", "/data", True),
        ("/pods/hosts", "/etc/hosts", False),
    ]
    assert host["GroupAdd"] == ["103"] and found["Healthcheck"] == {"Test": ["NONE"]}


def test_limits_and_rights_are_the_engines() -> None:
    found = container_options(POD, spec(memory=64 << 20, cpu=0.5, no_new_privileges=True), "box", {}, {})["HostConfig"]
    assert (found["Memory"], found["MemorySwap"], found["NanoCpus"]) == (64 << 20, 64 << 20, 500_000_000)
    assert found["SecurityOpt"] == ["no-new-privileges"]
    few = container_options(POD, spec(capabilities=capability_mask(["NET_ADMIN"])), "box", {}, {})["HostConfig"]
    assert (few["CapDrop"], few["CapAdd"]) == (["ALL"], ["NET_ADMIN"])
    assert "CapDrop" not in container_options(POD, spec(privileged=True), "box", {}, {})["HostConfig"]


def test_processes_are_shared_with_the_pod_or_with_one_container() -> None:
    shared = PodSandbox(uid="u", hostname="h", address="", local="", dns=None, port_shift=0, share_processes=True)
    assert container_options(shared, spec(), "box", {}, {})["HostConfig"]["PidMode"] == "container:box"
    assert container_options(POD, spec(), "box", {}, {}, target="other")["HostConfig"]["PidMode"] == "container:other"


def test_names_can_be_read_in_a_list_of_containers() -> None:
    assert container_name(POD, "main", "1-2") == "k8s_main_web-0_shop_uid-1_1-2"


def test_stop_signals_come_by_name_or_number() -> None:
    assert [number_of(name) for name in ("SIGTERM", "QUIT", "9", "SIGRTMIN+3", "nonsense")] == [15, 3, 9, 37, 15]


def test_the_engines_time_stamps_have_nanoseconds() -> None:
    assert seconds_of("1970-01-01T00:00:01.500000123Z") == 1.5


def test_cgroups_of_both_versions_are_found() -> None:
    root = Path("/cg")
    assert directories("5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n", root) == {
        "memory": root / "memory/docker/1",
        "cpu": root / "cpu,cpuacct/docker/1",
        "cpuacct": root / "cpu,cpuacct/docker/1",
    }
    assert directories("0::/system.slice/docker-1.scope\n", root) == {"": root / "system.slice/docker-1.scope"}


def test_an_image_is_reported_by_the_digest_of_the_repository_that_it_was_named_by() -> None:
    digests = [f"localhost:5001/shop@sha256:{'a' * 64}", f"nginx@sha256:{'b' * 64}"]
    assert repository_digest(Reference.parse("nginx:1.22"), digests) == f"sha256:{'b' * 64}"
    assert repository_digest(Reference.parse("localhost:5001/shop:1.0"), digests) == f"sha256:{'a' * 64}"
    assert repository_digest(Reference.parse(f"localhost:5001/shop@sha256:{'c' * 64}"), digests) == ""
    assert repository_digest(Reference.parse("busybox"), []) == ""
