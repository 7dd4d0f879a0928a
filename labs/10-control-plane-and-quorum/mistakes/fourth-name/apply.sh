#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
for number in 1 2; do ./member.sh "$number"; done
# The third has been given a name that the others do not know.
sed 's|^members=.*|members="etcd-1=http://$LAB_ADDRESS:2380,etcd-2=http://$LAB_ADDRESS:22380,etcd-4=http://$LAB_ADDRESS:32380"|' ../start/member.sh | sh -s 3 || true
