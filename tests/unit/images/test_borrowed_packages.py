from halab.images.packages import dpkg, pool

STATUS = """Package: nginx
Status: install ok installed
Architecture: amd64
Version: 1.22.1-9
Depends: libc6 (>= 2.34), libpcre2-8-0 (>= 10.22), nginx-common (= 1.22.1-9), python3 | python

Package: nginx-common
Status: install ok installed
Architecture: all
Version: 1.22.1-9
Depends: debconf (>= 0.5) | debconf-2.0, lsb-base

Package: libpcre2-8-0
Status: install ok installed
Architecture: amd64
Version: 10.42-1

Package: libc6
Status: install ok installed
Architecture: amd64
Priority: optional
Version: 2.36

Package: gone
Status: deinstall ok config-files
Version: 1

Package: bash
Essential: yes
Status: install ok installed
Architecture: amd64
Version: 5.2

Package: mawk
Status: install ok installed
Architecture: amd64
Version: 1.3
Provides: awk, python
"""


def test_only_installed_packages_count() -> None:
    found = dpkg.parse_status(STATUS)
    assert sorted(found) == ["bash", "libc6", "libpcre2-8-0", "mawk", "nginx", "nginx-common"]
    assert found["nginx"].depends == ("libc6", "libpcre2-8-0", "nginx-common", "python3|python")
    assert found["bash"].essential


def test_dependencies_come_first_and_the_base_systems_are_left_out() -> None:
    names = [package.name for package in dpkg.closure("nginx", dpkg.parse_status(STATUS))]
    assert names[-1] == "nginx"
    assert set(names) == {"libpcre2-8-0", "nginx-common", "mawk", "nginx"}, (
        "an alternative may be met by what another package provides"
    )


def test_package_names_are_found_in_a_command() -> None:
    command = (
        "apt-get update && apt-get install -y --no-install-recommends nginx=1.22* curl \\\n libssl3; rm -rf /var/lib/apt/lists/*"
    )
    assert {"nginx", "curl", "libssl3"} <= set(pool.candidates(command))
    assert pool.candidates("pip install nginx") == []
