#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed '/resourceNames/d' robot.yaml | kubectl apply -f -
