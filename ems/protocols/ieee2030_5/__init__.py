"""IEEE 2030.5: what both ends of a link share.

``sep`` the resources, ``codec`` their documents, ``identity`` LFDI, SFDI, PIN and mRID, ``modes``
and ``values`` the control modes and their units, ``events`` which control is in force when.
"""
