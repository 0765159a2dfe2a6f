#!/usr/bin/env bash
# Copies a folder to a dated archive and keeps the last seven.
set -euo pipefail

source_dir=${1:?usage: backup.sh SOURCE TARGET}
target_dir=${2:?usage: backup.sh SOURCE TARGET}
stamp=$(date +%Y-%m-%d)

mkdir -p "$target_dir"
if [[ -e "$target_dir/$stamp.tar.gz" ]]; then
    echo "already done for $stamp" >&2
    exit 0
fi

trap 'rm -f "$target_dir/.partial"' EXIT
tar -czf "$target_dir/.partial" -C "$(dirname "$source_dir")" "$(basename "$source_dir")"
mv "$target_dir/.partial" "$target_dir/$stamp.tar.gz"

for old in $(ls -1 "$target_dir" | sort -r | tail -n +8); do
    rm -- "$target_dir/$old"
done
