"""Codecs that both ends of a link share."""
