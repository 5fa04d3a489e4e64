#!/bin/sh
# A FinStream ingestor in plain shell: a synthetic price, once a second. Try it: finstream check -- sh shell.sh
cents=6700000 trade=0
while true; do
  now=$(date +%s) trade=$((trade + 1))
  cents=$((cents + now % 7 - 3))
  printf '{"symbol":"BTC/USDT","price":"%d.%02d","volume":"0.01","trade_id":%d,"ts":%d}\n' \
    $((cents / 100)) $((cents % 100)) "$trade" "$now"
  sleep 1
done
