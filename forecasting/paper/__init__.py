"""The published nine-feature LSTM, kept as the reference."""
