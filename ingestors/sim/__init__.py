"""A synthetic venue with faults on demand, for demonstrations, tests and benchmarks. Standard library only.

Production refuses to run it.
"""
