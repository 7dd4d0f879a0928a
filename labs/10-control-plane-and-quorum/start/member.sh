#!/bin/sh
# member.sh NUMBER: run one etcd member as a container, on ports of this lab's own address.
set -eu
number=$1
case $number in 1) client=2379 ;; 2) client=22379 ;; 3) client=32379 ;; esac
peer=$((client + 1))
# Who belongs to the cluster: NAME=PEER-URL, separated by commas. Two are missing.
members="etcd-1=http://$LAB_ADDRESS:2380"
halab image run -d --name "etcd-$number" --restart unless-stopped etcd:3.5 \
    /usr/local/bin/etcd --name "etcd-$number" --data-dir member \
    --listen-client-urls "http://$LAB_ADDRESS:$client" --advertise-client-urls "http://$LAB_ADDRESS:$client" \
    --listen-peer-urls "http://$LAB_ADDRESS:$peer" --initial-advertise-peer-urls "http://$LAB_ADDRESS:$peer" \
    --initial-cluster "$members" --initial-cluster-state new --log-level warn
