"""Trained artefacts and their register; a leaf without computation."""

from models.champions import Champion, Champions, ChampionsFault, champion
from models.register import Artefact, ArtefactFault, artefact, everything, find, listing

__all__ = [
    "Artefact",
    "ArtefactFault",
    "Champion",
    "Champions",
    "ChampionsFault",
    "artefact",
    "champion",
    "everything",
    "find",
    "listing",
]
