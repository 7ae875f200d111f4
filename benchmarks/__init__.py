"""What the controls cost, measured."""
