"""What ``apt-get install`` and ``apk add`` install in a build without network and root: packages borrowed from this machine."""
