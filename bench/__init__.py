"""The benchmark harness: ``python -m bench``. Read bench/README.md first; the order of reading the code is cli,
driver, workbench."""
