"""The hub as Hugging Face clients know it: their paths, bodies and headers over the same operations as the REST API.

Nothing here decides who may do what or how something is stored; that is done by the operations that the endpoints of
``/api/v1`` call, too. What a client asks for and this hub does not have is answered with 501 and the feature's name.
"""
