#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's/name: shop$/name: hidden/; s/app: shop$/app: hidden/' shop.yaml | kubectl apply -f -
kubectl apply -f shop.yaml
sed 's/- name: shop$/- name: hidden/' route.yaml | kubectl apply -f -
kubectl rollout status deployment/shop deployment/hidden --timeout=60s
