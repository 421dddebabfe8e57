#!/usr/bin/env bash
# Makes the passwords that compose.yaml names, each once: docker/make_secrets.sh [FOLDER]
# The containers' users have other numbers than ours, so the files can be read by all; only we can enter their folder.
set -euo pipefail
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 0700 "$folder"
for name in database_password kerastudy_database_password mlflow_database_password grafana_password; do
    if [ ! -s "$folder/$name" ]; then
        od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name"
        chmod 0644 "$folder/$name"
        echo "made $folder/$name"
    fi
done
