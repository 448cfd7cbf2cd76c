"""The phone's app: what it shows and does, in modules that need no screen; the screens are put on top of them.

`link` talks to the node, `session` keeps the models fed, `models` hold what each screen shows, as plain values and keys
of `texts`, and `language` makes words of them. Nothing of the protocol is decided here: everything is asked of the node
through the requests of its control socket.
"""
