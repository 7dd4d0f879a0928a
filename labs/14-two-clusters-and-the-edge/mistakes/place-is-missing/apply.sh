#!/bin/sh
set -eu
halab up --name west --nodes 1
KUBECONFIG=$(halab kubeconfig --name west) kubectl apply -f "$(dirname "$0")/../../start/shop.yaml"
