"""Administration over REST, below /admin of the server's own listener."""

from ems.derms.admin.app import create_admin
from ems.derms.admin.entrance import Entrance, token_of

__all__ = ["Entrance", "create_admin", "token_of"]
