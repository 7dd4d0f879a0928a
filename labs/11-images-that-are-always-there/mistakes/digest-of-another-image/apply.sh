#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
./registries.sh
./publish.sh 1.0
./deploy.sh "$LAB_ADDRESS:5000/shop@$(./publish.sh 1.1)"
