"""What ends more than one message."""


class WouldCrash(Exception):
    """The other side did something that ends the process of a Python peer."""


class NotAid(Exception):
    """The first frame on a connection is no ``Aid`` (§4.1): the connection is closed."""


class Expected(Exception):
    """The other side did not do what the protocol says it does."""
