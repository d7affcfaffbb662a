"""Trained artefacts and their register; a leaf without computation."""

from models.champions import Champion, ChampionsFault, champion
from models.register import Artefact, ArtefactFault, artefact, everything, find, listing

__all__ = [
    "Artefact",
    "ArtefactFault",
    "Champion",
    "ChampionsFault",
    "artefact",
    "champion",
    "everything",
    "find",
    "listing",
]
