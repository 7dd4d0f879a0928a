#!/bin/sh
set -eu
folder=$(pwd)
cd "$(dirname "$0")/../../solution"
./west.sh
sed '/health_checks:/,/http_health_check/d; /retry_policy:/,/update_frequency/d' front.yml > "$folder/front.yml"
