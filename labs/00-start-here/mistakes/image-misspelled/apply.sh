#!/bin/sh
set -eu
kubectl run hello --image=ngimx:1.17.10 --port=80
kubectl wait --for=jsonpath='{.status.containerStatuses[0].state.waiting.reason}' pod/hello --timeout=60s
