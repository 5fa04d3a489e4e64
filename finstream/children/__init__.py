"""Ingestors and sinks as supervised processes.

The stages, one module each, in the order in which a child passes through them:

    settings -> spec -> demand -> lifecycle -> spawn -> process -> (asset | sink) -> ladder -> restarts -> lifecycle ...

``runner`` walks one child through them, ``supervisor`` keeps one runner for each child of the configuration, and
``guard`` with ``guardian`` sees to it that no process outlives the engine, whatever ends the engine.
"""
