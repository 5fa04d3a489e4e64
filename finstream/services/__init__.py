"""What the control plane rests on: bus, logs, configuration, sessions and their store, dead letters, arena views."""
