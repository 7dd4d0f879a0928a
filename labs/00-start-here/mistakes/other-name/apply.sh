#!/bin/sh
set -eu
kubectl run hallo --image=nginx:1.17.10 --port=80
