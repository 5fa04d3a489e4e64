#!/bin/sh
# A FinStream ingestor in plain shell: a synthetic price, once a second. Try it: finstream check -- sh shell.sh
cents=6700000
while true; do
  cents=$((cents + $(date +%S) % 7 - 3))
  printf '{"symbol":"BTC/USDT","price":"%d.%02d","volume":"0.01","ts":%s}\n' \
    $((cents / 100)) $((cents % 100)) "$(date +%s)"
  sleep 1
done
