#!/bin/sh
set -eu
# A second cluster, with the same shop.
cd "$(dirname "$0")"
halab up --name west --nodes 1
KUBECONFIG=$(halab kubeconfig --name west)
export KUBECONFIG
kubectl create configmap place --from-literal=name=west --dry-run=client -o yaml | kubectl apply -f -
kubectl apply -f ../start/shop.yaml
kubectl rollout status deployment/shop --timeout=120s
