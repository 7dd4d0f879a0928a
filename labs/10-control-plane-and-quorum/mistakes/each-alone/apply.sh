#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
for number in 1 2 3; do sed "s/etcd-1=http:..[$]LAB_ADDRESS:2380/etcd-$number=http:\/\/\$LAB_ADDRESS:\$peer/" ../start/member.sh | sh -s "$number"; done
