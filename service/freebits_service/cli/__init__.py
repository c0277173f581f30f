"""Commands of the service, found by the client through the entry points ``freebits.commands``. One file each.

Nothing is imported here: who counts garbage needs no web server.
"""
