#!/bin/sh
set -eu
halab image registry start first --address "$LAB_ADDRESS:5000"
halab image registry start second --address "$LAB_ADDRESS:5001"
