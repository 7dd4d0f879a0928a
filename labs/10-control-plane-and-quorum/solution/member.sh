#!/bin/sh
set -eu
sed 's|^members=.*|members="etcd-1=http://$LAB_ADDRESS:2380,etcd-2=http://$LAB_ADDRESS:22380,etcd-3=http://$LAB_ADDRESS:32380"|' \
    "$(dirname "$0")/../start/member.sh" | sh -s "$1"
