"""Trained artefacts and their register; a leaf without computation."""

from models.register import Artefact, ArtefactFault, artefact, listing

__all__ = ["Artefact", "ArtefactFault", "artefact", "listing"]
