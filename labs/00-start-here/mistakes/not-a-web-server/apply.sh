#!/bin/sh
set -eu
kubectl run hello --image=busybox:1.36 -- sleep 3600
kubectl wait --for=condition=Ready pod/hello --timeout=60s
