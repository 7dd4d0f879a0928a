#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
kubectl apply -f robot.yaml
kubectl create rolebinding robot-edits --clusterrole=edit --serviceaccount="$(kubectl config view --minify -o 'jsonpath={..namespace}'):robot"
