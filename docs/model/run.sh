#!/bin/bash
# ./run.sh [filter]: "" = everything (old 133 + amendments, about 10 min, 14 GB); "A1/".."A7/" = one amendment, "A9/" = the preload; "A" filters by substring. A8 (SQL stamp table) is sql.py and runs too when the filter is empty or A8.
cd "$(dirname "$0")" || exit 1
case "${1:-}" in A8*) exec python3 sql.py;; esac
cargo run --release --quiet -- "${1:-}" || exit 1
[ -n "${1:-}" ] || python3 sql.py
