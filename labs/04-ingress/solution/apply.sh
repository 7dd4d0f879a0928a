#!/bin/sh
set -eu
cd "$(dirname "$0")"
keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=nginx.example.com -addext subjectAltName=DNS:nginx.example.com \
  -keyout "$keys/tls.key" -out "$keys/tls.crt" 2>/dev/null
kubectl create secret tls nginx-tls --cert="$keys/tls.crt" --key="$keys/tls.key" --dry-run=client -o yaml | kubectl apply -f -
kubectl apply -f ingress.yaml
kubectl rollout status deployment/nginx-deployment deployment/shop --timeout=120s
