#!/bin/sh
set -eu
kubectl run hello --image=nginx:1.17.10 --port=80
kubectl wait --for=condition=Ready pod/hello --timeout=120s
