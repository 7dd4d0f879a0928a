#!/bin/sh
set -eu
halab up --name west --nodes 1
